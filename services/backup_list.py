"""Backups, their drills and the keys they are encrypted to, for the page about them. Numbers and times, nobody's
data."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, defer

from config import Settings
from models import Backup, BackupDrill, BackupKey, User
from services.actor import Actor
from services.backup_request import DRILLED_AGAIN, MADE_AGAIN
from services.errors import NotFound
from services.permissions import Permission
from services.record_fields import time_text

MOST_SHOWN = 60
NO_BACKUP = "There is no such backup."


def list_backups(session: Session, actor: Actor) -> list[dict[str, Any]]:
    """The newest, at most ``MOST_SHOWN``, each with its last drill: see ``_shown``. Raises Forbidden."""
    actor.require(Permission.USER_MANAGE)
    rows = session.execute(
        select(Backup, User.full_name)
        .outerjoin(User, User.id == Backup.requested_by)
        .options(defer(Backup.manifest))
        .order_by(Backup.created_at.desc(), Backup.id.desc())
        .limit(MOST_SHOWN)
    ).all()
    newest = select(BackupDrill).ext(distinct_on(BackupDrill.backup_id))
    newest = newest.where(BackupDrill.backup_id.in_([backup.id for backup, _ in rows]))
    drills = session.scalars(newest.order_by(BackupDrill.backup_id, BackupDrill.started_at.desc()))
    last = {drill.backup_id: drill for drill in drills}
    again = _again(session)
    return [_shown(backup, name, last.get(backup.id), again) for backup, name in rows]


def get_backup(session: Session, actor: Actor, backup_id: uuid.UUID) -> dict[str, Any]:
    """One, with ``drills``: all of it, the newest first. Raises Forbidden, NotFound."""
    actor.require(Permission.USER_MANAGE)
    found = session.execute(
        select(Backup, User.full_name).outerjoin(User, User.id == Backup.requested_by).where(Backup.id == backup_id)
    ).one_or_none()
    if found is None:
        raise NotFound(NO_BACKUP)
    drills = session.scalars(
        select(BackupDrill).where(BackupDrill.backup_id == backup_id).order_by(BackupDrill.started_at.desc())
    ).all()
    shown = _shown(*found, drills[0] if drills else None, _again(session))
    return shown | {"drills": [_shown_drill(drill) for drill in drills], "manifest": found[0].manifest}


def list_keys(session: Session, actor: Actor, settings: Settings) -> list[dict[str, Any]]:
    """Who holds what: ``[{"recipient", "kind", "holder", "machine", "createdAt", "retiredAt", "destroyedAt"}]``;
    ``kind`` is ``recovery``, whose private half no server has, or ``drill``. Raises Forbidden."""
    actor.require(Permission.USER_MANAGE)
    recovery = settings.backup_age_recipient.strip()
    shown: list[dict[str, Any]] = [
        {"recipient": recovery, "kind": "recovery", "holder": None, "machine": None}
        | dict.fromkeys(("createdAt", "retiredAt", "destroyedAt"))
    ] if recovery else []  # fmt: skip
    for key in session.scalars(select(BackupKey).order_by(BackupKey.created_at.desc())):
        shown.append(
            {
                "recipient": key.recipient, "kind": "drill", "holder": key.holder, "machine": key.machine,
                "createdAt": time_text(key.created_at), "retiredAt": time_text(key.retired_at),
                "destroyedAt": time_text(key.destroyed_at),
            }
        )  # fmt: skip
    return shown


def _again(session: Session) -> dict[uuid.UUID, datetime]:
    """When what failed of which backup, the making or the drill, is tried again."""
    return {row.id: row.at for sql in (MADE_AGAIN, DRILLED_AGAIN) for row in session.execute(text(sql))}


def _shown(
    backup: Backup, requested_by: str | None, drill: BackupDrill | None, again: dict[uuid.UUID, datetime]
) -> dict[str, Any]:
    """``counts``: whether retention and the alert count it, which only a verified one does that is still there.
    ``againAt``: when what failed of it is tried again."""
    return {
        "id": str(backup.id),
        "state": backup.state,
        "origin": backup.origin,
        "requestedBy": requested_by,
        "createdAt": time_text(backup.created_at),
        "startedAt": time_text(backup.started_at),
        "finishedAt": time_text(backup.finished_at),
        "stage": backup.stage,
        "done": backup.done,
        "total": backup.total,
        "size": backup.size,
        "store": backup.store,
        "failure": backup.failure,
        "verifiedAt": time_text(backup.verified_at),
        "prunedAt": time_text(backup.pruned_at),
        "lockedUntil": time_text(backup.locked_until),
        "counts": backup.state == "VERIFIED" and backup.pruned_at is None,
        "againAt": time_text(again.get(backup.id)),
        "drill": None if drill is None else _shown_drill(drill),
    }


def _shown_drill(drill: BackupDrill) -> dict[str, Any]:
    return {
        "id": str(drill.id),
        "state": drill.state,
        "startedAt": time_text(drill.started_at),
        "finishedAt": time_text(drill.finished_at),
        "stage": drill.stage,
        "done": drill.done,
        "total": drill.total,
        "restoreSeconds": drill.restore_seconds,
        "fetchSeconds": drill.fetch_seconds,
        "checkSeconds": drill.check_seconds,
        "checks": drill.checks,
        "failure": drill.failure,
        "trailProblems": drill.trail_problems,
    }
