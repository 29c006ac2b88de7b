"""``/system``: whether every part works, and what is known of how it stands."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from flask import Response, render_template
from flask_babel import get_locale
from markupsafe import Markup
from sqlalchemy.orm import Session

from config import PRODUCT_VERSION
from services.actor import Actor
from services.permissions import Permission
from services.system_history import system_history
from services.system_state import system_state
from web.authentication import current_actor
from web.database import unit_of_work
from web.guards import Guard, Routes
from web.health import REVISION, all_findings, optional_findings
from web.htmx import show, target
from web.runtime import Runtime, runtime

CHARTS_SECONDS = 60.0

routes = Routes("system")


class Charts:
    """The charts as they were drawn within the last minute: an hour's number changes little meanwhile, and drawing
    them takes as long as the rest of the page. By language, since they have words."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[int, str], tuple[float, Markup]] = {}

    def get(self, here: Runtime, session: Session, actor: Actor, now: datetime) -> Markup:
        key = id(here), str(get_locale())
        drawn_at, drawn = self._drawn.get(key, (0.0, None))
        if drawn is None or time.monotonic() - drawn_at > CHARTS_SECONDS:
            history = system_history(session, actor, now, here.settings.timezone)
            drawn = Markup(render_template("system/_history.html", history=history))  # noqa: S704  (our own template)
            self._drawn[key] = time.monotonic(), drawn
        return drawn


_charts = Charts()


def system() -> Response:
    here, now = runtime(), datetime.now(UTC)
    actor = current_actor()
    findings = all_findings(here) | optional_findings(here)
    with unit_of_work() as session:
        state = system_state(session, actor, here.settings, now)
        # The part of the page that looks again has none: whoever opened the numbers below a chart is not disturbed.
        charts = "" if target() == "system" else _charts.get(here, session, actor, now)
    return show(
        "system/system.html",
        {"system": "system/_system.html"},
        findings=findings,
        charts=charts,
        state=state,
        keep_months=here.settings.audit_keep_months,
        has_recipient=bool(here.settings.backup_age_recipient),
        seen_at=now,
        redis_version=here.store.version(),
        expected_revision=REVISION,
        version=PRODUCT_VERSION,
    )


routes.add("/system", view=system, guard=Guard(Permission.USER_MANAGE))
