"""Writes that are done once however often they are sent: the Idempotency-Key of the IETF draft.

Only what was made is remembered, by id; a replay is read again and masked for whoever asks (SECURITY 38).
Keys are a user's own, for creating only, and last 24 hours.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models import IdempotencyKey
from services.actor import Actor
from services.errors import Invalid, Unavailable

LASTS = timedelta(hours=24)
KEY_SHAPE = re.compile(r"[\x21-\x7e]{1,200}")
OTHER_REQUEST = "This Idempotency-Key was used for another request. Make a new key for a new request."


def digest_of(operation: str, body: bytes) -> bytes:
    """What makes two requests the same: the ``operation`` (such as ``POST /api/patients``) and the body's bytes."""
    return hashlib.sha256(operation.encode() + b"\0" + body).digest()


def claim(session: Session, actor: Actor, key: str, request_digest: bytes) -> uuid.UUID | None:
    """The id of what was made under ``key``, or None when this transaction is to make it and ``remember`` it.

    A second request with the same key waits here until the first has committed or rolled back. Raises Invalid
    for a key that is malformed or was used for another request, Unavailable when the wait is too long.
    """
    if not KEY_SHAPE.fullmatch(key):
        raise Invalid("An Idempotency-Key is 1 to 200 visible ASCII characters, such as a UUID.")
    lock = func.hashtextextended(f"sigilo idempotency {actor.user_id} {key}", 0)
    try:
        session.execute(select(func.pg_advisory_xact_lock(lock)))
    except OperationalError as error:
        raise Unavailable("The first request with this Idempotency-Key is still running. Try again soon.") from error
    row = session.scalar(
        select(IdempotencyKey).where(IdempotencyKey.user_id == actor.user_id, IdempotencyKey.key == key)
    )
    if row is None:
        return None
    if row.expires_at <= datetime.now(UTC):
        session.execute(
            delete(IdempotencyKey).where(IdempotencyKey.user_id == actor.user_id, IdempotencyKey.key == key)
        )
        session.expunge(row)
        return None
    if row.request_digest != request_digest:
        raise Invalid(OTHER_REQUEST)
    return row.entity_id


def remember(
    session: Session, actor: Actor, key: str, request_digest: bytes, entity_type: str, entity_id: uuid.UUID
) -> None:
    """Keep what ``claim`` let this transaction make; it is replayed only if the transaction commits."""
    now = datetime.now(UTC)
    session.add(
        IdempotencyKey(
            user_id=actor.user_id,
            key=key,
            request_digest=request_digest,
            entity_type=entity_type,
            entity_id=entity_id,
            created_at=now,
            expires_at=now + LASTS,
        )
    )
    session.flush()
