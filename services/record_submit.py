"""Save what a form of a new record sends: once, however often its button is pressed, and its draft is done with."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import IdempotencyKey
from services.actor import Actor
from services.ai_help import help_with_codes
from services.draft_get import discard_draft
from services.errors import Conflict, Invalid
from services.field_encryption import FieldCipher
from services.idempotency import claim, digest_of, remember
from services.record_create import NewRecord, create_record

OPERATION = "form of a new record"


class AlreadySaved(Conflict):
    """The form was saved before, as ``record_id``, with another text than it has now."""

    def __init__(self, record_id: uuid.UUID) -> None:
        super().__init__("This form was saved before. What you changed since then is not saved.")
        self.record_id = record_id


def submit_record(
    session: Session, actor: Actor, cipher: FieldCipher, new: NewRecord, *, form_id: uuid.UUID,
    helped_by: Sequence[uuid.UUID] = (),
) -> uuid.UUID:  # fmt: skip
    """Id of the record. ``form_id`` names the form, and its draft, which goes; ``helped_by`` the questions whose
    answers it took codes from. The same text sent again is the same record. Raises AlreadySaved, and whatever
    ``create_record`` does."""
    digest = digest_of(OPERATION, _bytes(new))
    try:
        made = claim(session, actor, str(form_id), digest)
    except Invalid:
        raise AlreadySaved(_made_by(session, actor, form_id)) from None
    if made is None:
        codes = new.content.get("cid10Codes") or ()
        helped = help_with_codes(session, actor, cipher, new.patient_id, helped_by, codes)
        content = {**new.content, "notes": helped.noted(new.content.get("notes"))}
        made = create_record(session, actor, cipher, replace(new, content=content)).record.id
        helped.settle(session, actor, made)
        remember(session, actor, str(form_id), digest, "medical_record", made)
    discard_draft(session, actor, form_id)
    return made


def _bytes(new: NewRecord) -> bytes:
    """The same bytes for the same text. A time left open is the time of saving, and no part of them."""
    stated: dict[str, Any] = {
        "patientId": new.patient_id, "visitId": new.visit_id, "amendsId": new.amends_id, **new.content
    }  # fmt: skip
    return orjson.dumps(stated, option=orjson.OPT_SORT_KEYS)


def _made_by(session: Session, actor: Actor, form_id: uuid.UUID) -> uuid.UUID:
    made = session.scalar(
        select(IdempotencyKey.entity_id).where(
            IdempotencyKey.user_id == actor.user_id, IdempotencyKey.key == str(form_id)
        )
    )
    if made is None:
        raise Invalid("The form can't be told from another one. Load the page again.")
    return made
