"""Writing a record: new, edit, the check of one field, and the screen that merges two edits."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("record_form")
