"""Build an audit event and write it to the outbox, in the transaction of the act it describes.

A service calls ``record``; audited reads put the same columns into their one statement (``EVENT_COLUMNS``,
``event_values``); bulk writers build rows with ``event_row``. There is no other way into the outbox.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import orjson
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models import AuditOutbox, new_id
from services.actor import Actor
from services.errors import Unavailable

Outcome = Literal["success", "refused", "failure"]
DIGEST_BYTES = 16  # HMAC-SHA-256 cut to 128 bits, as RFC 2104 section 5 allows
USER_AGENT_MAX = 200
UNAUDITED = "This can't be done or shown because its audit trail can't be written. Try again in a moment."

EVENT_COLUMNS = (
    "id", "occurred_at", "action", "outcome", "actor_id", "actor_role", "entity_type", "entity_id", "entity_ids",
    "patient_id", "from_version", "to_version", "changes", "basis", "basis_id", "ip", "user_agent", "request_id",
    "session_id", "token_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """What was done to what. Who and from where comes from the actor; no clinical text belongs here."""

    action: str
    entity_type: str | None = None
    entity_id: uuid.UUID | None = None
    entity_ids: tuple[uuid.UUID, ...] | None = None
    patient_id: uuid.UUID | None = None
    from_version: int | None = None
    to_version: int | None = None
    changes: tuple[dict[str, str | None], ...] | None = None
    basis: str | None = None
    basis_id: uuid.UUID | None = None
    outcome: Outcome = "success"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an act came from when nobody is signed in: a failed login, the system's own work."""

    user_id: uuid.UUID | None = None
    role: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    session_id: uuid.UUID | None = None
    token_id: uuid.UUID | None = None


SYSTEM = Origin(role="SYSTEM")


def event_row(event: Event, actor: Actor | Origin, *, event_id: uuid.UUID | None = None) -> dict[str, Any]:
    """The outbox row of ``event``: column name → value, for an INSERT or a COPY."""
    return {
        "id": event_id or new_id(),
        "occurred_at": datetime.now(UTC),
        "action": event.action,
        "outcome": event.outcome,
        "actor_id": actor.user_id,
        "actor_role": None if actor.role is None else str(actor.role),
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "entity_ids": None if event.entity_ids is None else list(event.entity_ids),
        "patient_id": event.patient_id,
        "from_version": event.from_version,
        "to_version": event.to_version,
        "changes": None if event.changes is None else list(event.changes),
        "basis": event.basis,
        "basis_id": event.basis_id,
        "ip": actor.ip,
        "user_agent": actor.user_agent[:USER_AGENT_MAX] if actor.user_agent else None,
        "request_id": actor.request_id,
        "session_id": actor.session_id,
        "token_id": actor.token_id,
    }


def record(
    session: Session, actor: Actor | Origin, event: Event, *, event_id: uuid.UUID | None = None
) -> uuid.UUID:
    """Write ``event`` to the outbox in ``session``'s transaction; gives the event's id.

    Raises Unavailable when it can't be written: then the act does not happen either.
    """
    row = event_row(event, actor, event_id=event_id)
    try:
        session.execute(insert(AuditOutbox), [row])
    except DBAPIError as error:
        raise Unavailable(UNAUDITED) from error
    return row["id"]  # type: ignore[no-any-return]


def changes_between(
    key: bytes,
    event_id: uuid.UUID,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    fields: Iterable[str] | None = None,
) -> tuple[dict[str, str | None], ...]:
    """Which fields differ, with a digest of each value under ``key`` (the patient's audit key).

    The event's id is in the digest, so equal values in two events do not look equal; destroying the key
    at lawful elimination makes the digests meaningless while the chain stays whole.
    """
    old, new = before or {}, after or {}
    names = fields if fields is not None else dict.fromkeys([*old, *new])
    return tuple(
        {
            "field": name,
            "before": None if old.get(name) is None else digest(key, event_id, name, old[name]),
            "after": None if new.get(name) is None else digest(key, event_id, name, new[name]),
        }
        for name in names
        if old.get(name) != new.get(name)
    )


def digest(key: bytes, event_id: uuid.UUID, field: str, value: Any) -> str:
    """HMAC(key, event id ‖ field ‖ value), base64url without padding, 22 characters."""
    message = event_id.bytes + field.encode() + b"\0" + canonical(value)
    mac = hmac.digest(key, message, hashlib.sha256)[:DIGEST_BYTES]
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def canonical(value: Any) -> bytes:
    """One byte string for one value: JSON with sorted keys (RFC 8785 for the types that occur here)."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"an audited value can't be a {type(value).__name__}")
