"""What is looked at in a restored database before anybody believes in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import psycopg

from backups.errors import BackupFailed, NotRestorable
from backups.manifest import Manifest
from backups.samples import by_chance
from backups.snapshot import count_rows
from models.connection import connect
from services.audit_chain import TEXT_SETTINGS
from services.audit_start import online_start
from services.audit_verify import verify_trail
from services.field_encryption import FieldCipher
from services.signed_note import VerifierKey

SAMPLES = 50
INVALID = """
    SELECT (SELECT count(*) FROM pg_constraint WHERE NOT convalidated),
        (SELECT count(*) FROM pg_index WHERE NOT indisvalid),
        (SELECT count(*) FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = 'public')
"""
TRAIL_TEXT = """
    COPY (SELECT t::text FROM audit_trail t WHERE sequence BETWEEN %s AND %s ORDER BY sequence, id) TO STDOUT
"""
ENCRYPTED = ("cpf", "cns", "passport")


def check_counts(url: str, manifest: Manifest) -> int:
    """Rows of every table as when it was dumped; gives how many in all. ``url`` as the backup role. Raises
    BackupFailed."""
    with connect(url) as connection:
        found = count_rows(connection)
    wrong = [name for name in sorted({*found, *manifest.tables}) if found.get(name) != manifest.tables.get(name)]
    if wrong:
        raise NotRestorable(f"The restored database has other row counts than the manifest says: {', '.join(wrong)}.")
    return sum(found.values())


def check_constraints(url: str) -> int:
    """Every constraint and index holds; gives how many constraints there are. Raises BackupFailed."""
    with connect(url, autocommit=True) as connection:
        row = connection.execute(INVALID).fetchone()
    if row is None or row[0] or row[1] or not row[2]:
        raise NotRestorable("The restored database has constraints or indexes that do not hold.")
    return int(row[2])


def check_trail(
    url: str, manifest: Manifest, keys: Sequence[VerifierKey], source: str | None = None
) -> tuple[int, int]:
    """The audit trail ends where the manifest says, and is intact, or at least what the database at ``source`` has: the
    backup is good then, and the trail is not. Gives how many events were looked at and in how many places something is
    wrong. Both URLs as the auditor. Raises BackupFailed; NotRestorable where
    the trail is not ``source``'s either."""
    with connect(url) as connection:
        report = verify_trail(connection, keys)
    number, head = manifest.head
    if number and (report.head, report.head_hash.hex()) != (number, head):
        raise NotRestorable("The audit trail of the restored database does not end where the manifest says.")
    if not report.is_intact:
        said = (
            f"The audit trail of the restored database is not intact, in {report.problem_count} places: run"
            " `sigilo audit verify` on the database itself."
        )
        if source is None:
            raise BackupFailed(said)
        if not _is_same_trail(url, source, number):
            raise NotRestorable(said)
    return report.events, report.problem_count


def _is_same_trail(url: str, source: str, head: int) -> bool:
    """Whether both have the same events up to ``head``, but for those that left ``source`` for an archive since."""
    with connect(source) as connection:
        first = online_start(connection).sequence + 1
    return _trail_digest(url, first, head) == _trail_digest(source, first, head)


def _trail_digest(url: str, first: int, last: int) -> bytes:
    digest = hashlib.sha256()
    with connect(url) as connection, connection.cursor() as cursor:
        connection.execute(TEXT_SETTINGS)
        with cursor.copy(TRAIL_TEXT, [first, last]) as rows:
            for data in rows:
                digest.update(data)
    return digest.digest()


def check_samples(url: str, cipher: FieldCipher) -> int:
    """Patients and records by chance: what is encrypted opens with FIELD_KEY, and a record is what its newest version
    says. Gives how many were looked at. ``url`` as the worker. Raises BackupFailed."""
    with connect(url) as connection:
        patients = by_chance(connection, "patients", SAMPLES)
        for patient_id in patients:
            _check_patient(connection, cipher, patient_id)
        records = by_chance(connection, "medical_records", SAMPLES)
        for record_id in records:
            _check_record(connection, record_id)
    return len(patients) + len(records)


def _check_patient(connection: psycopg.Connection[Any], cipher: FieldCipher, patient_id: Any) -> None:
    columns = ", ".join(f"{name}_cipher, {name}_index" for name in ENCRYPTED)
    row = connection.execute(f"SELECT audit_key_cipher, {columns} FROM patients WHERE id = %s", [patient_id]).fetchone()
    assert row is not None  # noqa: S101
    try:
        if row[0]:  # destroyed when the patient was lawfully eliminated
            cipher.decrypt_bytes(bytes(row[0]), patient_id)
        for number, name in enumerate(ENCRYPTED):
            sealed, index = row[1 + 2 * number], row[2 + 2 * number]
            if sealed is not None:
                value = cipher.decrypt(bytes(sealed), patient_id)
                if bytes(index) not in cipher.blind_indexes(name, value):
                    raise ValueError(name)
    except ValueError:
        raise BackupFailed(
            "What is encrypted in the restored database does not open with FIELD_KEY: it is another installation's key,"
            " or the data is damaged."
        ) from None


def _check_record(connection: psycopg.Connection[Any], record_id: Any) -> None:
    row = connection.execute(
        "SELECT r.title, r.diagnosis, v.content FROM medical_records r"
        " LEFT JOIN record_versions v ON v.record_id = r.id AND v.version = r.version WHERE r.id = %s",
        [record_id],
    ).fetchone()
    content = row[2] if row else None
    content = json.loads(content) if isinstance(content, str) else content
    if row is None or content is None or content.get("title") != row[0] or content.get("diagnosis") != row[1]:
        raise NotRestorable("A record of the restored database is not what its newest version says.")
