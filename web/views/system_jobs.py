"""``/system/jobs/<job>``: the newest runs of one timed job, and what the last clean-up deleted."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response

from services.job_run_list import list_runs
from services.permissions import Permission
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Routes
from web.htmx import show
from web.runtime import runtime

routes = Routes("system_jobs")


def job(job: str) -> Response:
    with unit_of_work() as session:
        shown = list_runs(session, current_actor(), job, datetime.now(UTC), runtime().settings.timezone)
    return show("system/job.html", {"job": "system/_job.html"}, job=shown)


routes.add("/system/jobs/<job>", view=job, guard=Guard(Permission.USER_MANAGE))
