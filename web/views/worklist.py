"""``/``: the day at a glance, for each role its own."""

from __future__ import annotations

from flask import Response, g

from services.permissions import ROLE_PERMISSIONS
from web.authentication import current_actor
from web.guards import SIGNED_IN, Routes
from web.htmx import show

routes = Routes("worklist")


def worklist() -> Response:
    actor = current_actor()
    permissions = sorted(permission.value for permission in ROLE_PERMISSIONS[actor.role])
    return show("worklist/worklist.html", actor=actor, permissions=permissions, identity=g.identity)


routes.add("/", view=worklist, guard=SIGNED_IN)
