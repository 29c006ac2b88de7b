"""Text not saved yet: kept every few seconds, offered again, discarded."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("drafts")
