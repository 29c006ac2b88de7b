"""``/rate-limits``: quotas, and who was refused, from where."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("rate_limits")
