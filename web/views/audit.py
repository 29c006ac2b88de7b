"""``/audit``: the trail with filters, and before and after through the reader's mask."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("audit_pages")
