"""Single-use links: an invited user, or one whose password is reset, chooses a password."""

from __future__ import annotations

from web.guards import Routes

routes = Routes("invitations")
