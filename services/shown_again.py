"""The event of showing what a write left as it was: a replayed create, or a change that changed nothing.

Whoever sends such a write reads what is there, so it is in the trail as a read (invariant 2).
"""

from __future__ import annotations

import uuid

from sqlalchemy.orm import Session

from services.access import Standing
from services.actor import Actor
from services.audit_event import Event, record


def note_shown(
    session: Session,
    actor: Actor,
    entity_type: str,
    entity_id: uuid.UUID,
    patient_id: uuid.UUID,
    standing: Standing,
    *,
    version: int | None = None,
    is_author: bool = False,
) -> None:
    """Write ``<entity_type>.read`` in the write's transaction."""
    record(
        session,
        actor,
        Event(
            action=f"{entity_type}.read",
            entity_type=entity_type,
            entity_id=entity_id,
            patient_id=patient_id,
            to_version=version,
            basis=standing.basis(is_author=is_author),
            basis_id=standing.grant_id,
        ),
    )
