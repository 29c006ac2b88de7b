"""The keys that sign the trail, the present one and those before it, with the last event that each signed.

A key is replaced by setting AUDIT_SIGNING_KEY to another and adding the old one's public half to AUDIT_FORMER_KEYS,
first as it is and then with the last event that it signed (``docs/adr/0022-former-signing-keys.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import psycopg

from config import Principal, Settings
from models import AuditCheckpoint
from models.connection import connect
from services.audit_checkpoint import is_ours, signer_of
from services.audit_start import HOLD
from services.errors import Conflict
from services.signed_note import NoteError, VerifierKey, open_note

CHECKPOINTS = "SELECT sequence, hash, root, note FROM audit_checkpoints ORDER BY sequence"
HEAD = "SELECT max(sequence) FROM audit_trail"
REFUSED = (
    "The checkpoint in row {row} of audit_checkpoints has the signature of {key}, and {why}. With a former key"
    " somebody may have made it, so no last event is taken from it: run `sigilo audit verify`, see docs/security.md."
)


def keys_with_last(settings: Settings) -> list[str]:
    """Verifier keys, the present one first, as AUDIT_FORMER_KEYS takes a retired one. A key that was retired keeps the
    event that is said of it, and one that has signed nothing has none.

    Whoever holds a former key may lay its notes into the table, and is not to be who says how long it is believed: of
    each key its newest note counts, and that has to be of its own row, of events that there are, and of a former key
    from before the present one began. Raises Conflict, which names the row, where it is not; Invalid for a former key
    that is none.
    """
    signer = signer_of(settings)
    keys = [signer.verifier, *signer.former]
    with connect(settings.url_for(Principal.AUDITOR)) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute(HOLD)
        found = connection.execute(HEAD).fetchone()
        head = found[0] if found and found[0] else 0
        present = [signer.own_key]
        rows = _rows(connection, "ASC")
        began = next((row.sequence for row in rows if is_ours(row, present)), None)
        last = _last(_rows(connection, "DESC"), keys, head, began)
    return [str(replace(key, until=last.get(key, key.until))) for key in keys]


def _rows(connection: psycopg.Connection[Any], order: str) -> Iterator[AuditCheckpoint]:
    """ASC or DESC, a batch at a time."""
    with connection.cursor(f"checkpoints_{order}") as rows:
        for sequence, digest, root, note in rows.execute(f"{CHECKPOINTS} {order}"):
            yield AuditCheckpoint(sequence=sequence, hash=digest, root=root, note=note)


def _last(
    newest_first: Iterable[AuditCheckpoint], keys: list[VerifierKey], head: int, began: int | None
) -> dict[VerifierKey, int]:
    """Of each key without an end the last event that it signed. ``keys``: the present one first, which ``began`` to
    sign with that event."""
    unknown = [key for key in keys if key.until is None]
    last: dict[VerifierKey, int] = {}
    for row in newest_first:
        for key in [each for each in unknown if _has_signed(each, row)]:
            why = _unfit(row, key, head, None if key == keys[0] else began)
            if why is not None:
                raise Conflict(REFUSED.format(row=row.sequence, key=key, why=why))
            last[key] = row.sequence
            unknown.remove(key)
        if not unknown:
            break
    return last


def _has_signed(key: VerifierKey, row: AuditCheckpoint) -> bool:
    try:
        open_note(row.note, [key.anywhere])
    except NoteError:
        return False
    return True


def _unfit(row: AuditCheckpoint, key: VerifierKey, head: int, began: int | None) -> str | None:
    """Why ``row`` does not say what ``key`` signed last."""
    if not is_ours(row, [key.anywhere]):
        return "is not of that row"
    if row.sequence > head:
        return f"speaks of events that there are not: the trail ends with event {head}"
    if began is not None and row.sequence >= began:
        return f"is newer than the first of the present key, of event {began}"
    return None
