"""``/system/jobs/<job>``: the newest runs of one timed job, and what the last clean-up deleted."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response
from flask_babel import gettext

from services.job_run_list import list_runs
from services.permissions import Permission
from web.authentication import current_actor
from web.clock import decimal
from web.database import unit_of_work
from web.guards import Guard, Routes
from web.htmx import show

routes = Routes("system_jobs")
MINUTE = 60


def job(job: str) -> Response:
    with unit_of_work() as session:
        shown = list_runs(session, current_actor(), job, datetime.now(UTC))
    return show("system/job.html", {"job": "system/_job.html"}, job=shown, duration=duration)


def duration(seconds: float) -> str:
    """As people read it: ``0,4 s`` in Portuguese, and minutes from one on."""
    if seconds < MINUTE:
        return f"{decimal(seconds, 1)} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    return str(gettext("%(minutes)s min %(seconds)s s", minutes=minutes, seconds=rest))


routes.add("/system/jobs/<job>", view=job, guard=Guard(Permission.USER_MANAGE))
