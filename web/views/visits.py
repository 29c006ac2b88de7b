"""Checking in, triage, calling and closing, from the pages."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("visits_pages")
