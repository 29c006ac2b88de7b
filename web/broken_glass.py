"""``broken_glass(patient_id)`` for templates: every page about a patient says so while it is open by break-glass."""

from __future__ import annotations

import uuid

from flask import Flask, g

from services.actor import Actor
from services.break_glass_active import ActiveGrant, active_grant
from web.database import unit_of_work


def register_broken_glass(app: Flask) -> None:
    app.jinja_env.globals["broken_glass"] = broken_glass


def broken_glass(patient_id: uuid.UUID | str) -> ActiveGrant | None:
    """The grant under which whoever is signed in sees this patient now; None when there is none."""
    actor: Actor | None = g.get("actor")
    if actor is None or not actor.role.is_clinical:
        return None
    with unit_of_work() as session:
        return active_grant(session, actor, uuid.UUID(str(patient_id)))
