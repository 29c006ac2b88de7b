"""The first page after signing in: who you are here, and where the API is described."""

from __future__ import annotations

from flask import g, render_template

from services.permissions import ROLE_PERMISSIONS
from web.authentication import current_actor
from web.guards import SIGNED_IN, Routes

routes = Routes("home")


def home() -> str:
    actor = current_actor()
    permissions = sorted(permission.value for permission in ROLE_PERMISSIONS[actor.role])
    return render_template("home/home.html", actor=actor, permissions=permissions, identity=g.identity)


routes.add("/", view=home, guard=SIGNED_IN)
