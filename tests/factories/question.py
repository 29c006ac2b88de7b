"""A question to the local model that was answered, by rules: at once, and the same every time."""

from __future__ import annotations

import uuid
from dataclasses import replace

from sqlalchemy import text

from config import Principal, Settings
from models.engine import Databases
from services.ai_request import ask_summary
from services.ai_run import run_next
from services.field_encryption import field_cipher
from tests.factories.cast import Person


def empty_queue(databases: Databases) -> None:
    """Nobody's question waits: of the next one's place in the queue nothing is left of others."""
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(
            text("UPDATE ai_requests SET state = 'CANCELLED', finished_at = now() WHERE finished_at IS NULL")
        )


def make_question(
    databases: Databases, settings: Settings, person: Person, patient_id: uuid.UUID, *, is_answered: bool = True
) -> uuid.UUID:
    """``person`` asked for a summary of the patient's record; gives the question's id."""
    actor, cipher = replace(person.actor, scopes=None, token_id=None), field_cipher(settings)
    with databases.session(Principal.STAFF) as session:
        made = ask_summary(session, actor, settings, cipher, patient_id).id
    if is_answered:
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(text("UPDATE ai_requests SET rank = 100 WHERE id = :id"), {"id": made})
        run_next(databases, cipher, None)
    return made
