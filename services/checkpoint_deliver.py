"""Hand the newest checkpoint to the places outside of the database, until each has it.

A row for each place says up to which event it has one. The newest covers all before it, so a place that was away for a
day is owed one checkpoint, not a day's. What went out and was not noted goes out again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config import Settings
from integrations.checkpoint_sinks import BucketSink, FolderSink, Kept, SinkUnavailable, make_sink
from models import AuditCheckpoint, CheckpointSink
from services.audit_checkpoint import Checkpoint, is_ours, origin_of, signer_of
from services.audit_signed import GivenNotes
from services.signed_note import NoteError, VerifierKey

LEASE = timedelta(minutes=2)  # longer than any place is waited for
MOST_LOOKED_AT = 20
FIRST_DELIVERY = timedelta(hours=1)
MOST_TRIED = 20  # notes of others that lie over ours, in a folder
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
    """The newest that a key of ours signed: whatever else lies in the table leaves for nowhere."""
    keys = signer_of(settings).trusted
    newest = session.scalars(select(AuditCheckpoint).order_by(AuditCheckpoint.sequence.desc()).limit(MOST_LOOKED_AT))
    return next((row for row in newest if is_ours(row, keys)), None)


@dataclass(frozen=True, slots=True)
class Outside:
    """What the places that can be read have: the newest ``note`` of ours, and with it in ``kept`` all that folders have
    and a few out of buckets: of a trail signed anew the newest is as it should be, those of before it are not.
    ``is_missing``: there should be one, and none
    can be read, or others lie over it; what is compared with nothing from outside is not to pass for compared.
    ``ahead``: places that have a newer one than was noted of them, which a delivery that broke off leaves for minutes,
    and whoever sets the row back for longer."""

    note: str | None
    is_missing: bool
    kept: GivenNotes = GivenNotes()  # noqa: RUF009  (it is frozen)
    ahead: list[str] = field(default_factory=list)


def handed_over(session: Session) -> dict[str, int]:
    """Place → the event whose checkpoint it was given last. Empty while nothing is signed, or was for the first time a
    moment ago and no place was given anything yet: a new installation's first check may come before its first
    delivery."""
    is_new = session.scalar(select(func.min(AuditCheckpoint.created_at) > func.now() - FIRST_DELIVERY))
    if is_new is None:
        return {}
    rows = session.execute(select(CheckpointSink.name, CheckpointSink.sequence))
    places = {name: sequence or 0 for name, sequence in rows}
    return {} if is_new and not any(places.values()) else places


def kept_outside(settings: Settings, keys: list[VerifierKey], handed: Mapping[str, int]) -> Outside:
    """Look into every folder and bucket among the places: for the newest of ours in the folder of this trail, in the
    others (it may have had another name), and at what was ``handed`` over last. That is the database's word, so it is
    believed of nothing that it leaves out. No transaction is open meanwhile."""
    found: dict[int, str] = {}
    is_missing, ahead, drawn, folders = False, list[str](), list[str](), list[Path]()
    for name, url in sinks_of(settings).items():
        sink = make_sink(url, settings)
        if not isinstance(sink, FolderSink | BucketSink):
            continue
        last = handed.get(name, 0)
        handed_note = sink.read(origin_of(settings), last) if last else None
        opened = dict(_opened([(last, handed_note)] if handed_note is not None else [], keys))
        is_buried = False
        for position, folder in enumerate(sink.folders(origin_of(settings))):
            numbered = list(islice(folder, 1))
            newest = next(_opened(chain(numbered, islice(folder, MOST_TRIED)), keys), None)
            if newest is not None:
                opened[newest[0]] = newest[1]
            is_buried |= position == 0 and bool(numbered) and newest is None
        is_missing |= bool(handed) and (not opened or is_buried)
        if max(opened, default=0) > last:
            ahead.append(name)
        found |= opened
        if isinstance(sink, FolderSink):
            folders += sink.paths()
        else:
            drawn += sink.sample(origin_of(settings))
    note = found[max(found)] if found else None
    kept = GivenNotes([*drawn, *([] if note is None else [note])], folders, among_others=True)
    return Outside(note, is_missing, kept, ahead)


def _opened(numbered: Iterable[tuple[int, str]], keys: list[VerifierKey]) -> Iterator[tuple[int, str]]:
    """Those of ours, under the number that they speak of: an old one laid in under a high number hides nothing."""
    for number, note in numbered:
        with suppress(NoteError):
            if Checkpoint.open(note, keys).sequence == number:
                yield number, note


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
