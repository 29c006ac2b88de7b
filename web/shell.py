"""What surrounds every page of somebody signed in: the navigation their role has, and what waits for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import g, request
from flask_babel import gettext

from models.user import Role
from services.actor import Actor
from services.notification_list import count_unread
from services.permissions import Permission
from web.database import unit_of_work
from web.live_token import live_token, watched


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the navigation."""

    path: str
    icon: str
    label: str
    is_here: bool


def shell_context() -> dict[str, Any]:
    """``places``, ``unread``, ``live_token`` and ``watched`` for layouts/app.html; empty for nobody, and before a given
    password is changed."""
    actor: Actor | None = g.get("actor")
    if actor is None or g.identity.must_change:
        return {"places": [], "unread": 0, "live_token": "", "watched": None}
    return {"places": places(actor), "unread": _unread(actor), "live_token": live_token(), "watched": watched()}


def places(actor: Actor) -> list[Place]:
    """Where ``actor`` may go, the most used first: a phone shows five, and the rest behind "more"."""
    is_patient = actor.role is Role.PATIENT
    may = actor.may
    table: tuple[tuple[bool, str, str, str], ...] = (
        (not is_patient, "/", "home", gettext("Start")),
        (is_patient, "/me", "home", gettext("My record")),
        (may(Permission.PATIENT_READ) and not is_patient, "/patients", "users", gettext("Patients")),
        (may(Permission.RECORD_READ) and not is_patient, "/medical-records", "file", gettext("Records")),
        (may(Permission.RECORD_UPDATE), "/drafts", "edit", gettext("Drafts")),
        (may(Permission.TRAIL_READ), "/audit", "eye", gettext("Audit trail")),
        (
            may(Permission.TRAIL_READ) or may(Permission.USER_MANAGE),
            "/emergency-accesses", "shield", gettext("Emergency accesses"),
        ),
        (may(Permission.ALERT_READ), "/access-alerts", "warn", gettext("Unusual accesses")),
        (may(Permission.USER_MANAGE), "/users", "badge", gettext("Users")),
        (may(Permission.IMPORT), "/imports", "box", gettext("Imports")),
        (may(Permission.USER_MANAGE), "/rate-limits", "gauge", gettext("Quotas")),
        (may(Permission.RULE_READ), "/access-rules", "warn", gettext("Access rules")),
        (may(Permission.AI_FIGURES), "/ai", "pulse", gettext("Local AI")),
        (may(Permission.USER_MANAGE), "/backups", "shield", gettext("Backups")),
        (may(Permission.USER_MANAGE), "/system", "pulse", gettext("System")),
        (not is_patient, "/me", "person", gettext("My account")),
    )  # fmt: skip
    return [Place(path, icon, label, _is_here(path)) for shown, path, icon, label in table if shown]


def _is_here(path: str) -> bool:
    return request.path == path or (path != "/" and request.path.startswith(f"{path}/"))


def _unread(actor: Actor) -> int:
    if actor.role is Role.PATIENT:
        return 0
    with unit_of_work() as session:
        return count_unread(session, actor)
