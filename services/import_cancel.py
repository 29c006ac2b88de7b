"""Stop an import that waits or runs. The worker notices at its next batch; what was committed stays."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from models import ImportJob
from services.actor import Actor
from services.audit_event import Event, record
from services.errors import Conflict, NotFound
from services.import_list import NO_IMPORT
from services.import_view import ACTIVE
from services.permissions import Permission


def cancel_import(session: Session, actor: Actor, job_id: uuid.UUID) -> ImportJob:
    """The job, now CANCELLED. Its file is kept for a week, so that it can go on after all (import_retry.py).

    Raises Forbidden, NotFound, Conflict when it has ended already.
    """
    actor.require(Permission.IMPORT)
    job = session.get(ImportJob, job_id, with_for_update=True)
    if job is None:
        raise NotFound(NO_IMPORT)
    if job.state not in ACTIVE:
        raise Conflict("This import has ended already: there is nothing to cancel.")
    job.state = "CANCELLED"
    job.finished_at = datetime.now(UTC)
    record(session, actor, Event("import.cancel", "import_job", job.id))
    session.flush()
    return job
