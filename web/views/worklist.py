"""``/``: the day at a glance, for each role its own.

A page is one live part: what its role needs is read anew, and shown by the same fragment, whenever the change
token differs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from flask import redirect, request
from sqlalchemy.orm import Session

from models.user import Role
from services.access_alert_list import State, list_alerts
from services.audit_checkpoint import signer_of
from services.audit_findings import list_findings, open_alarm
from services.audit_read import TrailFilters, list_events
from services.backup_standing import backup_standing
from services.base_backups import base_backups
from services.break_glass_waiting import waiting_accesses
from services.day_figures import record_figures, visit_figures
from services.dead_letter_list import list_dead_letters
from services.desk_notes import desk_notes
from services.trail_state import trail_state
from services.visit_list import Waiting, list_visits
from services.waiting_limits import LIMIT_MINUTES
from services.wal_archive import wal_archive
from web.authentication import current_actor
from web.clock import parse
from web.database import unit_of_work
from web.guards import SIGNED_IN, Routes
from web.health import all_findings
from web.htmx import show
from web.live_token import live_token
from web.runtime import runtime

ROWS_MAX = 200
TRAIL_ROWS = 8
ALERT_ROWS = 5
JUST_NOW = timedelta(seconds=10)

routes = Routes("worklist")


def start() -> Any:
    if current_actor().role is Role.PATIENT:
        return redirect("/me", 303)
    return show_start()


def show_start(*, refused: str | None = None, status: int = 200) -> Any:
    """The start page; ``refused`` says what could not be done, above a list that is up to date."""
    live_token()  # before anything is read
    actor = current_actor()
    fragment = f"worklist/_{actor.role.value.lower()}.html"
    with unit_of_work() as session:
        parts = {"notes": desk_notes(session, actor), **PARTS[actor.role](session)}
    context = {"now": datetime.now(UTC), "refused": refused, "fragment": fragment, **parts}
    return show("worklist/worklist.html", {"day": fragment}, status=status, **context)


def _doctor(session: Session) -> dict[str, Any]:
    here = runtime()
    records = record_figures(session, current_actor(), here.settings.timezone, here.cache)
    # The year is this one.
    chart = [(day.strftime("%d/%m"), number) for day, number in records.per_day]
    return _room(session) | {"records": records, "chart": chart}


def _room(session: Session) -> dict[str, Any]:
    """Who waits and who is in care, and the day's figures of visits."""
    here, actor = runtime(), current_actor()
    wanted = request.values.get("show")
    waiting = Waiting(wanted) if wanted in tuple(Waiting) else None
    page = list_visits(here.databases, actor, waiting=waiting, limit=ROWS_MAX)
    rows = [_timed(row) for row in orjson.loads(page.data)]
    return {
        "waiting": [row for row in rows if row["status"] == "WAITING"],
        "in_care": [row for row in rows if row["status"] == "IN_CARE"],
        "is_cut": page.next_cursor is not None,
        "wanted": None if waiting is None else waiting.value,
        "figures": visit_figures(session, actor, here.settings.timezone),
        "me": str(actor.user_id),
    }


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    """``row`` with how its waiting is shown: the limit in minutes, whether it is over, whether it has just begun."""
    arrived = parse(row["arrivedAt"])
    waited = datetime.now(UTC) - arrived if arrived is not None else timedelta()
    limit = LIMIT_MINUTES.get(row["priority"])
    return row | {
        "limit": limit,
        "isLate": limit is not None and waited >= timedelta(minutes=limit),
        "isNew": waited < JUST_NOW,
    }


def _admin(session: Session) -> dict[str, Any]:
    """What works, and what failed while nobody looked: backups, the archive of changes, and other work."""
    archive = wal_archive(session)
    return {
        "findings": all_findings(runtime()),
        "backups": backup_standing(session),
        "is_archive_late": archive is not None and archive["isLate"],
        "bases": base_backups(session),
        "failed": len(list_dead_letters(session, current_actor())),
    }


def _auditor(session: Session) -> dict[str, Any]:
    """What is wrong with the trail first: whoever keeps the server must not be the only one who is told."""
    here, actor = runtime(), current_actor()
    trail = list_events(here.databases, here.cipher, actor, TrailFilters(), limit=TRAIL_ROWS)
    return {
        "accesses": waiting_accesses(here.databases, actor),
        "alerts": list_alerts(here.databases, actor, State.OPEN, limit=ALERT_ROWS),
        "events": trail["data"],
        "broken": list_findings(session),
        "alarm": open_alarm(session),
        "trail": trail_state(session, signer_of(here.settings).trusted, datetime.now(UTC)),
    }


PARTS: dict[Role, Callable[[Session], dict[str, Any]]] = {
    Role.DOCTOR: _doctor,
    Role.NURSE: _room,
    Role.RECEPTION: _room,
    Role.ADMIN: _admin,
    Role.AUDITOR: _auditor,
}

routes.add("/", view=start, guard=SIGNED_IN)
