"""``/system``: whether every part works."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("system")
