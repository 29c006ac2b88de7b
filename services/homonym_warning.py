"""Warn, before somebody is registered, of patients who could be the same person. It never blocks."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from models import Patient, new_id
from services.actor import Actor
from services.field_encryption import FieldCipher
from services.patient_homonyms import find_homonyms
from services.patient_view import inside, represent, sql_row
from services.patient_write import checked
from services.permissions import Permission


def warn_of_homonyms(
    session: Session, actor: Actor, cipher: FieldCipher, content: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Representations of at most ten patients similar to ``content`` (API names → typed values), through the
    actor's mask, oldest registration first, with the event that they were shown.

    Raises Forbidden, and Invalid for values that no patient may have: what can't be saved needs no warning.
    """
    actor.require(Permission.PATIENT_CREATE)
    values = checked(content)
    candidate = Patient(
        id=new_id(),
        full_name=values["fullName"],
        social_name=values.get("socialName"),
        mother_name=values.get("motherName"),
        birth_date=values.get("birthDate"),
    )
    return _shown(session, actor, cipher, find_homonyms(session, actor, candidate))


def _shown(session: Session, actor: Actor, cipher: FieldCipher, ids: Sequence[uuid.UUID]) -> list[dict[str, Any]]:
    if not ids:
        return []
    role = actor.role
    statement = f"""
        WITH shown AS MATERIALIZED (SELECT p.*, {inside(role)} AS inside FROM patients p WHERE p.id = ANY(%(ids)s))
        SELECT {sql_row(role)} AS data FROM shown s ORDER BY s.id
    """
    parameters = {"ids": list(ids), "me": actor.user_id, "role": role.value}
    rows = session.connection().exec_driver_sql(statement, parameters).scalars()
    return [represent(cipher, role, row) for row in rows]
