"""Run an import: read everything into a spool, then write it in bounded batches that each commit by themselves.

The command line and the worker's task both come through here, as the worker principal. A batch's rows, their
versions and audit events, the refusals and the job's place commit together: a kill loses at most one batch of
work, and running again goes on behind the last one. This is the one kind of service that commits: long work
is a row, processed in bounded batches.
"""

from __future__ import annotations

import hashlib
import io
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import psycopg

from config import Principal, Settings
from models.connection import connect
from observability.metrics import IMPORT_ENTRIES
from services.errors import Invalid
from services.field_encryption import FieldCipher, field_cipher
from services.import_batch import write_rejects
from services.import_entries import Ignored, Reject
from services.import_fhir import ReadingRules
from services.import_job import PAUSED, Cancelled, Job, Paused, advance, begin_job, claim_upload, end_job, heartbeat
from services.import_plan import plan
from services.import_read import FORMATS, Progress, read_file
from services.import_rules import KEY_MAX
from services.import_sources import SourceFile, from_paths, printable
from services.import_spool import Spool, Unit, open_spool
from services.import_statements import Connection, RowChanged
from services.import_summary import SHOWN, ImportSummary

BATCH_ROWS = 500
ATTEMPTS = 3
HEARTBEAT_SECONDS = 10.0
TIMEOUTS = "SET statement_timeout = '5min'; SET lock_timeout = '30s'; SET TimeZone = 'UTC'"
# What another transaction may have caused, and a second look resolves.
PASSING = (
    psycopg.errors.UniqueViolation, psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, RowChanged,
)  # fmt: skip
REFUSALS = (psycopg.errors.IntegrityError, psycopg.errors.DataError, *PASSING)


def run_import(
    settings: Settings,
    paths: Sequence[Path],
    *,
    source_format: str = "auto",
    dry_run: bool = False,
    responsible: str | None = None,
    source: str | None = None,
    progress: Progress | None = None,
) -> ImportSummary:
    """Import ``paths`` (files, or folders that are walked) and give the counts.

    ``responsible`` is the e-mail of the doctor who becomes responsible for every new patient; ``source`` names
    the sending system, for FHIR ids that are unique only there. A dry run reads, checks and compares, and
    keeps nothing. Raises Invalid or SourceMissing for arguments that name nothing, Conflict while the same
    import runs elsewhere, Cancelled when somebody stops it.
    """
    if source_format not in FORMATS:
        raise Invalid(f"The format is one of {', '.join(FORMATS)}.")
    if source is not None and not (0 < len(source) <= KEY_MAX and source.isprintable()):
        raise Invalid(f"The source's name has 1 to {KEY_MAX} printable characters.")
    files = from_paths(list(paths))
    if not files:
        raise Invalid("There is no file to import: name one, or a folder that has some.")
    with _connected(settings) as connection:
        options = {"source": source, "responsible": _responsible(connection, responsible)}
        if dry_run:
            job = Job(uuid.UUID(int=0), source_format, options, created_by=None)
        else:
            job = begin_job(connection, _digest(files), source_format, options)
        return _Run(settings, connection, job, files, progress, is_dry=dry_run).work()


def run_next_upload(
    settings: Settings, *, progress: Progress | None = None, seconds: float | None = None
) -> ImportSummary | None:
    """Work on the oldest import that came over HTTP and waits, or lost its worker; None when there is none.

    After ``seconds`` it stops behind a batch and raises Paused. Raises Cancelled when somebody stops it.
    """
    with _connected(settings) as connection:
        job = claim_upload(connection)
        if job is None:
            return None
        return _Run(settings, connection, job, _uploaded(connection, job.id), progress, seconds=seconds).work()


class _Run:
    """One run over one job; a dry one keeps nothing, the job included."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        job: Job,
        files: list[SourceFile],
        progress: Progress | None,
        *,
        is_dry: bool = False,
        seconds: float | None = None,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._cipher: FieldCipher = field_cipher(settings)
        self._job = job
        self._files = files
        self._progress = progress or (lambda done, total: None)
        self._is_dry = is_dry
        responsible = job.options.get("responsible")
        self._responsible_id = None if responsible is None else uuid.UUID(responsible)
        self._first_rejects: list[Reject] = []
        self._last_beat = time.monotonic()
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def work(self) -> ImportSummary:
        """All of it, or from where the job stood. Raises Cancelled, Paused, or what went wrong."""
        began = time.monotonic()
        try:
            with open_spool(self._settings.sigilo_home) as spool:
                self._read(spool)
                self._write(spool)
        except (Cancelled, Paused, psycopg.OperationalError):
            raise  # stopped on purpose, or the server is gone: the row says how far it came
        except Exception as error:
            if not self._is_dry:
                end_job(self._connection, self._job, error=f"stopped by an unexpected {type(error).__name__}")
            raise
        if not self._is_dry:
            end_job(self._connection, self._job)
        return ImportSummary(
            job_id=None if self._is_dry else self._job.id,
            counts=self._job.counts,
            seconds=time.monotonic() - began,
            first_rejects=tuple(self._first_rejects),
            is_resumed=self._job.is_resumed,
        )

    def _read(self, spool: Spool) -> None:
        rules = ReadingRules(self._settings.timezone, datetime.now(UTC), self._job.options.get("source"))
        number = 0
        for file in self._files:
            for item in read_file(file, self._job.format, rules):
                if isinstance(item, Ignored):
                    spool.ignored[item.type] += 1
                elif isinstance(item, Reject):
                    spool.reject(item)
                else:
                    spool.add(item)
                number += 1
                if number % BATCH_ROWS == 0:
                    self._progress(number, None)
                    self._heartbeat()
        spool.seal()
        counts = Counter({f"ignored.{name}": count for name, count in spool.ignored.items()})
        counts["duplicates"] = spool.duplicates
        counts["files"] = len(self._files)
        # Of the reading, known anew after every resumption; the rest grows with the batches.
        self._job.counts.update({name: count - self._job.counts[name] for name, count in counts.items()})
        self._job.total = spool.total()

    def _write(self, spool: Spool) -> None:
        rejects = spool.rejects(self._job.rejects_done)
        while batch := list(islice(rejects, BATCH_ROWS)):
            self._keep_rejects(batch)
        units: list[Unit] = []
        for unit in islice(spool.units(), self._job.units_done, None):
            units.append(unit)
            if sum(each.size for each in units) >= BATCH_ROWS:
                self._write_units(units)
                units = []
        if units:
            self._write_units(units)

    def _keep_rejects(self, batch: list[tuple[int, Reject]]) -> None:
        rejects = [reject for _, reject in batch]
        job = self._job.moved({"rejected": len(rejects)}, rejects_done=batch[-1][0])
        if not self._is_dry:
            with self._connection.transaction():
                write_rejects(self._connection, job.id, rejects)
                advance(self._connection, job)
        self._moved(job, rejects)

    def _write_units(self, units: list[Unit]) -> None:
        """One transaction; when somebody else's gets between, look again; when the database refuses, one by one."""
        for _ in range(ATTEMPTS):
            try:
                self._try_units(units)
            except PASSING as error:
                failure: Exception = error
            except REFUSALS as error:
                failure = error
                break
            else:
                return
        if len(units) > 1:
            for unit in units:
                self._write_units([unit])
        else:
            self._try_units([_refused(units[0], failure)])

    def _try_units(self, units: list[Unit]) -> None:
        with self._connection.transaction(force_rollback=self._is_dry):
            batch = plan(
                self._connection, self._cipher, units, job_id=self._job.id, responsible_id=self._responsible_id
            )
            counts = {**batch.counts, "rejected": len(batch.rejects)}
            job = self._job.moved(counts, units_done=self._job.units_done + len(units))
            if not self._is_dry:
                batch.write(self._connection)
                advance(self._connection, job)
        self._moved(job, batch.rejects)

    def _moved(self, job: Job, rejects: list[Reject]) -> None:
        if not self._is_dry:
            _count(self._job, job)
        self._job = job
        self._first_rejects += rejects[: SHOWN - len(self._first_rejects)]
        self._progress(job.read, job.total)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise Paused(PAUSED)

    def _heartbeat(self) -> None:
        if not self._is_dry and time.monotonic() - self._last_beat >= HEARTBEAT_SECONDS:
            self._last_beat = time.monotonic()
            heartbeat(self._connection, self._job)


def _count(before: Job, after: Job) -> None:
    """What was committed between the two, for Prometheus."""
    for outcome, names in (("imported", ("created", "updated")), ("known", ("unchanged",))):
        IMPORT_ENTRIES.labels(outcome).inc(sum(after.counted(name) - before.counted(name) for name in names))
    IMPORT_ENTRIES.labels("rejected").inc(after.counts["rejected"] - before.counts["rejected"])


def _refused(unit: Unit, error: Exception) -> Unit:
    """A unit of nothing but refusals, for one that the database itself does not take."""
    rule = error.diag.constraint_name or error.sqlstate if isinstance(error, psycopg.Error) else "changed meanwhile"
    entries = [entry for entry in (unit.patient, *unit.allergies, *unit.records) if entry is not None]
    rejects = tuple(
        Reject(*entry.place, f"the database refused this patient's entries, all together ({rule})") for entry in entries
    )
    return replace(unit, patient=None, allergies=(), records=(), rejects=unit.rejects + rejects)


@contextmanager
def _connected(settings: Settings) -> Iterator[Connection]:
    """The worker's own connection: it holds the job's lock, so it is no pooled one."""
    url = settings.url_anew(Principal.WORKER)
    with connect(url, autocommit=True, application_name="sigilo import") as connection:
        connection.execute(TIMEOUTS)
        yield connection


def _responsible(connection: Connection, email: str | None) -> str | None:
    if email is None:
        return None
    found = connection.execute(
        "SELECT u.id FROM users u JOIN user_roles r ON r.user_id = u.id AND r.role = 'DOCTOR' "
        "WHERE u.email = %s AND u.disabled_at IS NULL",
        [email.strip().lower()],
    ).fetchone()
    if found is None:
        raise Invalid("The responsible person must be an active user with the role DOCTOR.")
    return str(found[0])


def _digest(files: list[SourceFile]) -> bytes:
    result = hashlib.sha256()
    for file in files:
        result.update(file.name.encode() + b"\0" + file.digest())
    return result.digest()


def _uploaded(connection: Connection, job_id: uuid.UUID) -> list[SourceFile]:
    def opened(number: int) -> BinaryIO:
        row = connection.execute(
            "SELECT string_agg(content, ''::bytea ORDER BY part) FROM import_file_parts"
            " WHERE job_id = %s AND number = %s",
            [job_id, number],
        ).fetchone()
        return io.BytesIO((row and row[0]) or b"")

    rows = connection.execute(
        "SELECT number, name, size FROM import_files WHERE job_id = %s ORDER BY number", [job_id]
    ).fetchall()
    return [SourceFile(printable(name), size, partial(opened, number)) for number, name, size in rows]
