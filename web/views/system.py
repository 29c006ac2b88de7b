"""``/system``: whether every part works, and what is known of how it stands."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response

from config import PRODUCT_VERSION
from services.permissions import Permission
from services.system_state import system_state
from web.authentication import current_actor
from web.clock import decimal
from web.database import unit_of_work
from web.guards import Guard, Routes
from web.health import REVISION, all_findings
from web.htmx import show
from web.runtime import runtime
from web.views.system_jobs import duration

routes = Routes("system")
STEP = 1024
UNITS = ("B", "kB", "MB", "GB", "TB")


def system() -> Response:
    here, now = runtime(), datetime.now(UTC)
    findings = all_findings(here)
    with unit_of_work() as session:
        state = system_state(session, current_actor(), here.settings.sigilo_home, now)
    return show(
        "system/system.html",
        {"system": "system/_system.html"},
        findings=findings,
        state=state,
        keep_months=here.settings.audit_keep_months,
        has_recipient=bool(here.settings.backup_age_recipient),
        seen_at=now,
        redis_version=here.store.version(),
        expected_revision=REVISION,
        version=PRODUCT_VERSION,
        size=size,
        duration=duration,
    )


def size(count: int) -> str:
    """Bytes as people read them: ``1,5 GB`` in Portuguese."""
    value, unit = float(count), UNITS[0]
    for unit in UNITS:
        if value < STEP or unit == UNITS[-1]:
            break
        value /= STEP
    return f"{decimal(value, 0 if unit in UNITS[:2] else 1)} {unit}"


routes.add("/system", view=system, guard=Guard(Permission.USER_MANAGE))
