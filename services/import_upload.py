"""Take a file that came over HTTP as an import to be done: kept with its job, read later by the worker."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import ImportFile, ImportFilePart, ImportJob, new_id
from models.import_job import PART_BYTES
from services.actor import Actor
from services.audit_event import Event, record
from services.errors import Conflict, Invalid, NotFound
from services.import_list import NO_IMPORT
from services.import_view import ACTIVE, FILE_NAMES, job_representation
from services.permissions import Permission

UPLOAD_MAX = 32 * 1024 * 1024  # bytes, as sent; what a .gz unpacks to is bounded where it is read
NAME_MAX = 200
ENDINGS = (".json", ".ndjson", ".jsonl", ".csv")
GZIP = b"\x1f\x8b"
SAME_FILE = "This very file waits or is being imported already. See it in the list of imports."


def upload_import(
    session: Session, actor: Actor, *, name: str, content: bytes, source_format: str = "auto"
) -> ImportJob:
    """The queued job. The name only tells people which file it was; what it is, its bytes say.

    Raises Forbidden, Invalid for an empty file, a name with a path in it, or content of another type, Conflict
    while the very same file waits or is in work.
    """
    actor.require(Permission.IMPORT)
    if PurePosixPath(name).name != name or "\\" in name or not name.isprintable() or not 0 < len(name) <= NAME_MAX:
        raise Invalid.at("/name", f"a file name without a path, at most {NAME_MAX} characters")
    if not name.lower().removesuffix(".gz").endswith(ENDINGS):
        raise Invalid.at("/name", "a name ending in .json, .ndjson or .csv, with .gz behind it or not")
    _check_type(name.lower(), content)
    digest = hashlib.sha256(content).digest()
    if session.scalar(select(ImportJob.id).where(ImportJob.source_digest == digest, ImportJob.state.in_(ACTIVE))):
        raise Conflict(SAME_FILE)
    job = ImportJob(
        id=new_id(),
        format=source_format,
        source_digest=digest,
        created_by=actor.user_id,
        options={FILE_NAMES: [name]},
        position={},
        counts={},
    )
    session.add(job)
    session.flush()
    session.add(ImportFile(job_id=job.id, number=1, name=name, sha256=digest, size=len(content)))
    session.add_all(file_parts(job.id, 1, content))
    record(session, actor, Event(action="import.upload", entity_type="import_job", entity_id=job.id))
    session.flush()
    return job


def file_parts(job_id: uuid.UUID, number: int, content: bytes) -> list[ImportFilePart]:
    """The rows that ``content`` is kept in."""
    starts = range(0, len(content), PART_BYTES)
    return [
        ImportFilePart(job_id=job_id, number=number, part=part, content=content[start : start + PART_BYTES])
        for part, start in enumerate(starts)
    ]


def _check_type(name: str, content: bytes) -> None:
    """What the bytes begin with must be what the name says (ASVS 5.0 V5.2)."""
    if not content:
        raise Invalid.at("", "the file is empty")
    if content.startswith(GZIP) != name.endswith(".gz"):
        raise Invalid.at("/name", "gzip content has a name ending in .gz, and only gzip content does")
    if not content.startswith(GZIP):
        start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
        if b"\0" in content[:4096] or (not name.endswith(".csv") and not start.startswith((b"{", b"["))):
            raise Invalid.at("", "the content is not of the type that the name says")


def show_job(session: Session, actor: Actor, job_id: uuid.UUID) -> dict[str, Any]:
    """A job's progress, without anything of what it read. Raises Forbidden, NotFound."""
    actor.require(Permission.IMPORT)
    job = session.get(ImportJob, job_id)
    if job is None:
        raise NotFound(NO_IMPORT)
    return job_representation(job)
