"""Which field keys the database still needs: every ciphertext begins with its key's number.

The refusal at start looks at patients' rows through an index, so it costs nothing; the count reads everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from config import ConfigurationError, Principal, Settings
from models.connection import connect
from services.field_encryption import field_cipher
from services.patient_fields import DOCUMENTS

COUNT_TIMEOUT = "SET LOCAL statement_timeout = '30min'"
# First byte of each document of a version's content, which keeps them as base64: four letters hold three bytes.
VERSION_NUMBERS = ", ".join(f"(get_byte(decode(left(v.content->>'{kind}', 4), 'base64'), 0))" for kind in DOCUMENTS)
PATIENT_NUMBERS = ", ".join(f"(get_byte(p.{name}_cipher, 0))" for name in ("audit_key", *DOCUMENTS))
COUNTS = {
    "patients": f"""
        SELECT k, count(*) FROM patients p
        CROSS JOIN LATERAL (SELECT DISTINCT k FROM (VALUES {PATIENT_NUMBERS}) n (k) WHERE k IS NOT NULL) k GROUP BY k
    """,
    "versions": f"""
        SELECT k, count(*) FROM patient_versions v
        CROSS JOIN LATERAL (SELECT DISTINCT k FROM (VALUES {VERSION_NUMBERS}) n (k) WHERE k IS NOT NULL) k GROUP BY k
    """,
    "accounts": "SELECT get_byte(cpf_cipher, 0), count(*) FROM users WHERE cpf_cipher IS NOT NULL GROUP BY 1",
}
# Accounts whose CPF was indexed and not sealed, before there was a way to change keys: which key is not known.
UNSEALED = "SELECT count(*) FROM users WHERE cpf_index IS NOT NULL AND cpf_cipher IS NULL"
# Every number there is, by looking up the next greater one.
IN_USE = """
    WITH RECURSIVE used (k) AS (
        SELECT min(get_byte(audit_key_cipher, 0)) FROM patients
        UNION ALL
        SELECT (SELECT min(get_byte(audit_key_cipher, 0)) FROM patients WHERE get_byte(audit_key_cipher, 0) > used.k)
        FROM used WHERE used.k IS NOT NULL
    ) SELECT k FROM used WHERE k IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class SealedRows:
    """Rows by what they are and by the number of the key they are sealed under; a row under two counts for both."""

    by_kind: dict[str, Counter[int]] = field(default_factory=dict)
    unsealed: int = 0

    def under(self, numbers: Iterable[int]) -> int:
        """How many rows need one of these keys."""
        wanted = set(numbers)
        return sum(count for counts in self.by_kind.values() for k, count in counts.items() if k in wanted)

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(k for counts in self.by_kind.values() for k in counts)


def count_sealed(session: Session) -> SealedRows:
    """Count, as the migrator. Reads every patient and version once: seconds for a million."""
    session.execute(text(COUNT_TIMEOUT))
    found: dict[str, Counter[int]] = {
        kind: Counter(dict(map(tuple, session.execute(text(sql))))) for kind, sql in COUNTS.items()
    }
    return SealedRows(found, session.execute(text(UNSEALED)).scalar_one())


def keys_in_use(settings: Settings, principal: Principal) -> set[int]:
    """Numbers of the keys that patients are sealed under. Raises psycopg.Error."""
    with connect(settings.url_for(principal), connect_timeout=5, autocommit=True) as connection:
        return {k for (k,) in connection.execute(IN_USE)}


def refuse_dropped_keys(settings: Settings, principal: Principal) -> None:
    """Raise ConfigurationError when patients are sealed under a key that FIELD_KEY and FIELD_KEY_PREVIOUS don't have:
    what went on would fail at every such patient, and register them twice.

    A database that is away or not made yet refuses nothing: a start does not wait for it.
    """
    try:
        used = keys_in_use(settings, principal)
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return
    missing = used - field_cipher(settings).numbers
    if missing:
        named = ", ".join(map(str, sorted(missing)))
        raise ConfigurationError(
            f"patients are sealed under a field key that is not configured (number {named}): put the former key back"
            " into FIELD_KEY_PREVIOUS, and let `sigilo keys reencrypt` finish before it is taken out"
        )
