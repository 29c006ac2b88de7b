"""What somebody was told, and the bell that counts what they have not looked at."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Response, make_response, render_template, request

from services.notification_list import count_unread, list_notifications
from services.notification_read import mark_all_read, mark_read
from services.permissions import Permission
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Routes
from web.htmx import go, show
from web.local_path import local_path
from web.runtime import runtime

routes = Routes("notifications")
NOTICES = "/notifications"


def notices() -> Response:
    """A page of them, newest first."""
    found = list_notifications(runtime().databases, current_actor(), cursor=request.args.get("cursor"))
    return show(
        "notifications/notifications.html",
        {"notices": "notifications/_notices.html", "notices-more": "notifications/_rows.html"},
        found=found, is_continued="cursor" in request.args,
    )  # fmt: skip


def bell() -> Response:
    """How many wait: what an open page asks again by itself, so no event."""
    with unit_of_work() as session:
        unread = count_unread(session, current_actor())
    return make_response(render_template("components/bell.html", unread=unread))


def read(notification_id: uuid.UUID) -> Any:
    """Mark one as read, and go to what it is about."""
    with unit_of_work() as session:
        mark_read(session, current_actor(), notification_id)
    return go(local_path(request.form.get("next"), otherwise=NOTICES))


def read_all() -> Any:
    with unit_of_work() as session:
        mark_all_read(session, current_actor())
    return go(NOTICES, done="notices-read")


READ = Guard(Permission.NOTIFICATION_READ)

routes.add(NOTICES, view=notices, guard=READ)
routes.add(f"{NOTICES}/bell", view=bell, guard=READ)
routes.add(f"{NOTICES}/read", view=read_all, guard=READ, methods=["POST"])
routes.add(f"{NOTICES}/<uuid:notification_id>/read", view=read, guard=READ, methods=["POST"])
