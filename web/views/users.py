"""``/users``: who may sign in, as what, and with which tokens."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("users")
