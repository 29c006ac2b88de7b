"""Show one medical record to be printed: what leaves on paper is in the trail as a print, not as a view."""

from __future__ import annotations

import uuid

from models.engine import Databases
from observability.metrics import REVEALS
from services.actor import Actor
from services.record_get import JsonRecord, read_record


def print_record(databases: Databases, actor: Actor, record_id: uuid.UUID) -> JsonRecord:
    """The record through the reader's mask, and the event ``medical_record.print``, in one statement.

    An inactive record is not printed. Raises Forbidden, NotFound, Gone, Unavailable.
    """
    found = read_record(databases, actor, record_id, action="medical_record.print", include_deleted=False)
    REVEALS.labels("print").inc()
    return found
