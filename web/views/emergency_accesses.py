"""Break-glass from the pages, and the review that is owed for each."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("emergency_accesses")
