"""How the trail stands: what is signed, where that is kept, and whether it was checked. For whoever keeps the server,
and for auditors, who must not learn from them alone that a check was not made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from models import CheckpointSink, JobRun, User
from services.audit_check_note import TrailCheck, last_check
from services.job_schedule import VERIFY
from services.record_fields import time_text
from services.signed_note import VerifierKey

LATE = timedelta(hours=26)  # it is every night, and takes its time
TRAIL = text(
    "SELECT waiting, sealed, sealed_at, signed, signed_at, audit_outbox_lag() AS lag FROM audit_standing()"
)


def trail_state(session: Session, keys: Sequence[VerifierKey], now: datetime) -> dict[str, Any]:
    """``{"waiting", "waitsSeconds", "sealed", "sealedAt", "signed", "signedAt", "sinks", "verified", "isUnchecked"}``.

    ``verified`` is ``{"at", "state", "rows"}`` of the last check, None without one. ``state``: "intact", so many
    events; "broken" in so many places; or "failed", when it could not be made. The first two are believed when one of
    ``keys`` signed them. ``isUnchecked``: none ended for longer than from one night to the next, or it failed.
    """
    trail = session.execute(TRAIL).one()
    check = last_check(session, keys)
    verified = _verified(session, check)
    since = check.at if check is not None else session.scalar(select(func.min(User.created_at)))
    is_late = since is not None and since < now - LATE
    return {
        "waiting": trail.waiting,
        "waitsSeconds": int(trail.lag),
        "sealed": trail.sealed,
        "sealedAt": time_text(trail.sealed_at),
        "signed": trail.signed,
        "signedAt": time_text(trail.signed_at),
        "sinks": _sinks(session, trail.signed or 0),
        "verified": verified,
        "isUnchecked": is_late or (verified is not None and verified["state"] == "failed"),
    }


def _verified(session: Session, check: TrailCheck | None) -> dict[str, Any] | None:
    ended = select(JobRun).where(JobRun.job == VERIFY, JobRun.outcome.is_not(None))
    run = session.scalars(ended.order_by(JobRun.slot.desc()).limit(1)).one_or_none()
    if run is not None and run.outcome == "failure" and run.rows is None:
        at = run.finished_at or run.started_at
        if check is None or check.at < at:
            return {"at": time_text(at), "state": "failed", "rows": None}
    if check is None:
        return None
    is_intact = check.problems == 0
    rows = check.events if is_intact else check.problems
    return {"at": time_text(check.at), "state": "intact" if is_intact else "broken", "rows": rows}


def _sinks(session: Session, signed: int) -> list[dict[str, Any]]:
    """The places outside of the database, each with what it has; ``isAhead`` of what is ``signed`` here is a trail that
    was cut, or put back to what it was."""
    return [
        {
            "name": sink.name,
            "sequence": sink.sequence,
            "deliveredAt": time_text(sink.delivered_at),
            "failure": sink.failure,
            "isAhead": (sink.sequence or 0) > signed,
            "nextAttemptAt": time_text(sink.next_attempt_at),
        }
        for sink in session.scalars(select(CheckpointSink).order_by(CheckpointSink.name))
    ]
