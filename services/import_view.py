"""How an import is shown: its progress and its counts, and nothing of what it read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from models import ImportJob
from services.record_fields import time_text

ACTIVE = ("QUEUED", "RUNNING")
FILE_NAMES = "files"  # in ``options``: what people called the files, kept when the files themselves are gone
SILENT = timedelta(minutes=1)  # a worker says every ten seconds that it is alive


def job_representation(job: ImportJob) -> dict[str, Any]:
    """A job as the API shows it."""
    return {
        "id": str(job.id),
        "state": job.state,
        "format": job.format,
        "total": job.total,
        "read": job.read,
        "created": job.created,
        "updated": job.updated,
        "unchanged": job.unchanged,
        "rejected": job.rejected,
        "error": job.error,
        "createdAt": time_text(job.created_at),
        "startedAt": time_text(job.started_at),
        "finishedAt": time_text(job.finished_at),
    }


def job_details(job: ImportJob, *, sender: str | None, has_file: bool) -> dict[str, Any]:
    """``job_representation`` and what a page needs beside it: ``names`` (empty for one of the command line),
    ``sender``, ``kinds`` (what was taken, by kind and outcome), ``ignored`` (type → how many were passed over),
    and what may be done with it now."""
    is_active = job.state in ACTIVE
    heard = job.heartbeat_at or job.started_at
    return {
        **job_representation(job),
        "names": [str(name) for name in job.options.get(FILE_NAMES, [])],
        "sender": sender,
        "kinds": {
            kind: {outcome: job.counts.get(f"{kind}.{outcome}", 0) for outcome in ("created", "updated", "unchanged")}
            for kind in ("patients", "records", "allergies")
        },
        "duplicates": job.counts.get("duplicates", 0),
        "ignored": {name[8:]: n for name, n in sorted(job.counts.items()) if name.startswith("ignored.") and n},
        "isActive": is_active,
        "isSilent": job.state == "RUNNING" and heard is not None and datetime.now(UTC) - heard > SILENT,
        "mayCancel": is_active,
        "mayRetry": job.state in ("FAILED", "CANCELLED") and has_file,
    }
