"""Idempotency-Key around a create: done once, and replayed through the mask of whoever asks."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from flask import request
from sqlalchemy.orm import Session

from services.actor import Actor
from services.idempotency import claim, digest_of, remember
from web.problems import send_once

HEADER = {"Idempotency-Key": "1–200 visible characters; the same key and body create once, for 24 hours"}


def create_once(
    session: Session, actor: Actor, operation: str, body: bytes, entity_type: str, create: Callable[[], uuid.UUID]
) -> tuple[uuid.UUID, bool]:
    """(id of what was made, whether this is a replay). Without the header, ``create`` simply runs."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return create(), False
    send_once()
    digest = digest_of(operation, body)
    made = claim(session, actor, key, digest)
    if made is not None:
        return made, True
    made = create()
    remember(session, actor, key, digest, entity_type, made)
    return made, False
