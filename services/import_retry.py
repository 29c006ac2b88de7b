"""Let an import that failed or was cancelled go on behind its last batch, as long as its file is kept."""

from __future__ import annotations

import uuid

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from models import ImportFile, ImportJob
from services.actor import Actor
from services.audit_event import Event, record
from services.errors import Conflict, NotFound
from services.import_list import NO_IMPORT
from services.permissions import Permission

NO_FILE = "The file of this import is no longer kept. Send it again: what was taken is not taken twice."


def retry_import(session: Session, actor: Actor, job_id: uuid.UUID) -> ImportJob:
    """The job, QUEUED again; its counts and its place stay.

    Raises Forbidden, NotFound, Conflict when it has not stopped, or its file is gone.
    """
    actor.require(Permission.IMPORT)
    job = session.get(ImportJob, job_id, with_for_update=True)
    if job is None:
        raise NotFound(NO_IMPORT)
    if job.state not in ("FAILED", "CANCELLED"):
        raise Conflict("Only an import that failed or was cancelled goes on again.")
    if not session.scalar(select(exists().where(ImportFile.job_id == job.id))):
        raise Conflict(NO_FILE)
    job.state = "QUEUED"
    job.error = job.finished_at = None
    record(session, actor, Event("import.retry", "import_job", job.id))
    session.flush()
    return job
