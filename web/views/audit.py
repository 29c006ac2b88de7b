"""``/audit``: the trail with filters, and before and after through the reader's mask."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from services.audit_export import Format, export_trail
from services.audit_names import names_behind
from services.audit_read import list_events
from services.permissions import Permission
from services.staff_directory import Colleague, find_who_acted
from services.text_diff import diff
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Routes
from web.htmx import show, target
from web.runtime import runtime
from web.views.audit_filters import address, read_filters

routes = Routes("audit_pages")
NOTHING: dict[str, Any] = {"data": [], "nextCursor": None}


def trail() -> Response:
    """A page of events, newest first."""
    return _page()


def people() -> Response:
    """Find somebody of the staff by name, to filter by their id: a name never stands in an address."""
    q = request.form.get("q", "")
    with unit_of_work() as session:
        found = find_who_acted(session, current_actor(), q)
    return _page(found, q)


def export() -> Response:
    """The trail as a file, as the filters of the page narrow it."""
    here = runtime()
    filters, form = read_filters(request.form, here.settings.timezone)
    wanted = request.form.get("format")
    if form.errors or wanted not in set(Format):
        return _page(status=422)
    made = export_trail(here.databases, current_actor(), filters, Format(wanted))
    answer = Response(made.chunks, mimetype=made.media_type)
    answer.headers.set("Content-Disposition", "attachment", filename=made.file_name)
    return answer


def _page(found_people: list[Colleague] | None = None, q: str = "", status: int = 200) -> Response:
    here, actor = runtime(), current_actor()
    filters, form = read_filters(request.values, here.settings.timezone)
    events, names = NOTHING, None
    # Looking for a person replaces the list of people alone: the trail was read already.
    if not form.errors and target() != "people":
        cursor = request.args.get("cursor")
        events = list_events(here.databases, here.cipher, actor, filters, cursor=cursor)
    with unit_of_work() as session:
        names = names_behind(session, actor, events["data"])
    return show(
        "audit/audit.html",
        {"trail": "audit/_trail.html", "trail-more": "audit/_events.html", "people": "audit/_people.html"},
        status=422 if form.errors else status, events=events, names=names, form=form, address=address, diff=diff,
        people=found_people, q=q, may_export=actor.may(Permission.TRAIL_EXPORT),
        is_continued="cursor" in request.args, may_open=actor.may(Permission.RECORD_READ),
    )  # fmt: skip


READ = Guard(Permission.TRAIL_READ)

routes.add("/audit", view=trail, guard=READ)
routes.add("/audit/people", view=people, guard=READ, methods=["POST"])
routes.add("/audit/export", view=export, guard=Guard(Permission.TRAIL_EXPORT, step_up=True), methods=["POST"])
