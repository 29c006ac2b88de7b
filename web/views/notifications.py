"""What somebody was told."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("notifications")
