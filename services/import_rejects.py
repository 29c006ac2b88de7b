"""The refusals of an import as a file to download: CSV, a row each, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import ImportReject
from services.import_csv_rows import escaped

COLUMNS = ("file", "line", "pointer", "reason")
CHUNK_ROWS = 500


def rejects_csv(session: Session, job_id: uuid.UUID) -> Iterator[bytes]:
    """The file in pieces of at most ``CHUNK_ROWS`` rows (UTF-8, RFC 4180), in the order of the refusals.

    The header comes even when nothing was refused. Whether the reader may see the job is the caller's affair.
    """
    yield _rows([COLUMNS])
    query = select(ImportReject).where(ImportReject.job_id == job_id).order_by(ImportReject.id)
    for chunk in session.scalars(query.execution_options(yield_per=CHUNK_ROWS)).partitions():
        yield _rows([(reject.file, str(reject.line), reject.pointer, reject.reason) for reject in chunk])


def _rows(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([[escaped(cell) for cell in row] for row in rows])
    return text.getvalue().encode()
