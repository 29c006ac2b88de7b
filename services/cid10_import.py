"""Put a CID-10 table in force, in one transaction: who looks a code up meanwhile sees the former one, whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, text, update
from sqlalchemy.orm import Session

from models import Cid10Code, Cid10Release, new_id
from models.advisory_locks import CID10_IMPORT
from services.audit_event import SYSTEM, Event, record
from services.cid10_codes import release_in_force
from services.cid10_file import Table

BATCH = 1000

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of it. ``is_new``: False when this very table was in force already, and nothing was changed."""

    categories: int
    subcategories: int
    codes: int
    is_new: bool

    def __str__(self) -> str:
        counts = f"{self.subcategories} subcategories, {self.categories} categories, {self.codes} codes"
        return counts + ("" if self.is_new else ": this table is in force already, nothing was changed")


def import_table(
    session: Session, table: Table, *, origin: str = "DATASUS", progress: Progress = lambda done, total: None
) -> Imported:
    """Replace the codes by ``table``'s and write the event, as the migrator; what is there already stays as it is.

    ``progress`` takes (codes written, codes in all).
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": CID10_IMPORT})
    before = release_in_force(session)
    is_new = before is None or (before.origin, before.sha256) != (origin, table.sha256)
    if is_new:
        _replace(session, table, origin, progress)
    return Imported(table.categories, table.subcategories, len(table.rows), is_new)


def _replace(session: Session, table: Table, origin: str, progress: Progress) -> None:
    session.execute(delete(Cid10Code))
    session.execute(
        update(Cid10Release).where(Cid10Release.in_force).values(in_force=False, replaced_at=func.now())
    )
    release = Cid10Release(
        id=new_id(), origin=origin, sha256=table.sha256, categories=table.categories, subcategories=table.subcategories
    )
    session.add(release)
    session.flush()
    for start in range(0, len(table.rows), BATCH):
        chunk = table.rows[start : start + BATCH]
        session.execute(insert(Cid10Code), [row | {"release_id": release.id} for row in chunk])
        progress(start + len(chunk), len(table.rows))
    session.execute(text("ANALYZE cid10_codes"))  # plans are kept, and the planner knows nothing of it yet
    record(session, SYSTEM, Event("cid10.import", "cid10_release", release.id))
    session.flush()
