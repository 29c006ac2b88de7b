"""Hand the newest checkpoint to the places outside of the database, until each has it.

A row for each place says up to which event it has one. The newest covers all before it, so a place that was away for a
day is owed one checkpoint, not a day's. What went out and was not noted goes out again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config import Settings
from integrations.checkpoint_sinks import BucketSink, FolderSink, Kept, SinkUnavailable, make_sink
from models import AuditCheckpoint, CheckpointSink
from services.audit_checkpoint import Checkpoint, is_ours, origin_of, signer_of
from services.signed_note import NoteError, VerifierKey

LEASE = timedelta(minutes=2)  # longer than any place is waited for
MOST_LOOKED_AT = 20
LONGEST_PAUSE = timedelta(minutes=30)
# SQL boolean over ``checkpoint_sinks``: it is owed one, and it is time.
OWED = (
    "next_attempt_at <= now()"
    " AND coalesce(sequence, 0) < (SELECT coalesce(max(c.sequence), 0) FROM audit_checkpoints c)"
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker makes. ``attempts``: this one included."""

    name: str
    url: str
    attempts: int
    checkpoint: Kept


def sinks_of(settings: Settings) -> dict[str, str]:
    """Name → URL of the configured places. The name shows where it is and tells two apart; of a web address, whose path
    may be a secret, it shows the host."""
    return {_name(url): url for url in (each.get_secret_value() for each in settings.checkpoint_sinks)}


def _name(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme in ("file", "mailto", "s3"):
        return url
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port} #{hashlib.sha256(url.encode()).hexdigest()[:6]}"


def note_sinks(session: Session, settings: Settings) -> None:
    """Begin rows for places that were configured since, and drop those of places that no longer are."""
    names = list(sinks_of(settings))
    if names:
        session.execute(insert(CheckpointSink).values([{"name": name} for name in names]).on_conflict_do_nothing())
    session.execute(delete(CheckpointSink).where(CheckpointSink.name.not_in(names)))


def claim_delivery(session: Session, settings: Settings) -> Claimed | None:
    """The next place that is owed the newest checkpoint; None when none is. Commit before delivering."""
    sinks = sinks_of(settings)
    row = session.execute(
        select(CheckpointSink)
        .where(text(OWED), CheckpointSink.name.in_(sinks))
        .order_by(CheckpointSink.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).scalar_one_or_none()
    if row is None:
        return None
    newest = _newest(session, settings)
    if newest is None or newest.sequence <= (row.sequence or 0):
        row.next_attempt_at = func.now() + LONGEST_PAUSE  # what is newer there is nobody's checkpoint
        return None
    row.attempts += 1
    row.next_attempt_at = func.now() + LEASE
    session.flush()
    return Claimed(row.name, sinks[row.name], row.attempts, Kept(newest.note, origin_of(settings), newest.sequence))


def _newest(session: Session, settings: Settings) -> AuditCheckpoint | None:
    """The newest that our key signed: whatever else lies in the table leaves for nowhere."""
    key = signer_of(settings).own_key
    newest = session.scalars(select(AuditCheckpoint).order_by(AuditCheckpoint.sequence.desc()).limit(MOST_LOOKED_AT))
    return next((row for row in newest if is_ours(row, key)), None)


@dataclass(frozen=True, slots=True)
class Outside:
    """What the places that can be read have: the newest ``note`` of ours. ``is_missing``: there should be one, and none
    can be read, or others lie over it; what is compared with nothing from outside is not to pass for compared."""

    note: str | None
    is_missing: bool


def handed_over(session: Session) -> dict[str, int]:
    """Place → the event whose checkpoint it was given last; empty while nothing is signed."""
    if session.scalar(select(AuditCheckpoint.sequence).limit(1)) is None:
        return {}
    rows = session.execute(select(CheckpointSink.name, CheckpointSink.sequence))
    return {name: sequence or 0 for name, sequence in rows}


def kept_outside(settings: Settings, key: VerifierKey, handed: Mapping[str, int]) -> Outside:
    """Look into every folder and bucket among the places: for the newest there, and for what was ``handed`` over last.
    No transaction is open meanwhile."""
    found: dict[int, str] = {}
    is_missing = False
    for name, url in sinks_of(settings).items():
        sink = make_sink(url, settings)
        if not isinstance(sink, FolderSink | BucketSink):
            continue
        last = handed.get(name, 0)
        notes = [sink.newest(), sink.read(origin_of(settings), last) if last else None]
        opened: dict[int, str] = {}
        for note in notes:
            with suppress(NoteError):
                if note is not None:
                    opened[Checkpoint.open(note, [key]).sequence] = note
        is_missing |= bool(handed) and not opened
        found |= opened
    return Outside(found[max(found)] if found else None, is_missing)


def deliver(settings: Settings, claimed: Claimed) -> str | None:
    """Hand it over; None when it is kept there, else the kind of failure."""
    sink = make_sink(claimed.url, settings)
    try:
        sink.keep(claimed.checkpoint)
    except SinkUnavailable as error:
        return str(error)
    return None


def note_delivery(session: Session, settings: Settings, claimed: Claimed, failure: str | None) -> None:
    """Keep what came of it: the place has it, or is tried again later."""
    values: dict[str, Any]
    if failure is None:
        pause = make_sink(claimed.url, settings).every
        values = {
            "sequence": claimed.checkpoint.sequence, "delivered_at": func.now(), "attempts": 0, "failure": None,
            "next_attempt_at": func.now() + pause,
        }  # fmt: skip
    else:
        pause = min(timedelta(seconds=15 * 2 ** min(claimed.attempts, 12)), LONGEST_PAUSE)
        values = {"failure": failure, "next_attempt_at": func.now() + pause}
    session.execute(update(CheckpointSink).where(CheckpointSink.name == claimed.name).values(values))
