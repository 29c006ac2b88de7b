"""Patients and records by chance, as they were in the database that was dumped: what a drill's restored ones must be.

Digests are taken in the moment of the dump, by another way than the dump's, and the manifest signs them. A digest of
what a doctor wrote can be found by trying what doctors write, so the list is sealed to those who can open the dump
itself: the manifest, which lies in the clear, tells nobody else whose rows they are or what a guess is worth.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import psycopg
import pyrage
from psycopg import sql

from backups.errors import BackupFailed, NotRestorable
from models.connection import connect
from services.age_stream import identities_of
from services.audit_chain import TEXT_SETTINGS

SAMPLES = 25  # of each
WIDER = 10
# What a patient or a record is: the tables, and the column that says whose row it is.
CONTENTS = {
    "patients": {"patients": "id", "patient_versions": "patient_id"},
    "medical_records": {"medical_records": "id", "record_versions": "record_id"},
}
# What is computed from the rest is not dumped either.
COLUMNS = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
# The order has to be the same on both sides, whatever their collations.
ROWS = sql.SQL("""
    SELECT owner, sha256(convert_to(string_agg(line, '' ORDER BY line COLLATE "C"), 'UTF8'))
    FROM (SELECT {owner} AS owner, ROW({columns})::text AS line FROM {table} WHERE {owner} = ANY(%s)) found
    GROUP BY owner
""")
OTHER = "Patients or records of the restored database are not what they were when it was dumped."

Connection = psycopg.Connection[Any]
Digests = dict[str, dict[str, str]]


def take_samples(connection: Connection) -> Digests:
    """By kind and id, a digest of each patient and record that chance names, in the transaction that ``connection`` is
    in, as a role that reads everything."""
    connection.execute(TEXT_SETTINGS)
    return {kind: _digests(connection, kind, by_chance(connection, kind, SAMPLES)) for kind in CONTENTS}


def seal_samples(samples: Digests, recipients: Iterable[str]) -> str:
    """For a manifest: base64, to be opened by whoever opens the backup."""
    keys: list[Any] = [pyrage.x25519.Recipient.from_str(each) for each in recipients]
    return base64.b64encode(pyrage.encrypt(orjson.dumps(samples), keys)).decode()


def compare_samples(url: str, sealed: str, identity: str) -> int:
    """The restored rows are what ``sealed`` says of them; gives of how many patients and records it says so. ``url`` as
    the backup role. Raises NotRestorable, and BackupFailed where ``identity`` does not open it."""
    samples = _opened(sealed, identity)
    with connect(url) as connection:
        connection.execute(TEXT_SETTINGS)
        for kind, wanted in samples.items():
            if _digests(connection, kind, [uuid.UUID(each) for each in wanted]) != wanted:
                raise NotRestorable(OTHER)
    return sum(map(len, samples.values()))


def by_chance(connection: Connection, table: str, count: int) -> list[uuid.UUID]:
    """Ids of so many of a table's rows; none only where it has none. As many pages as rows are looked at: the whole of
    a table of a million is not read for fifty of them. Where those pages are empty, as in a table that is mostly what
    was deleted, ten times as many are."""
    row = connection.execute(
        "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::int", [table]
    ).fetchone()
    percent = min(100.0, 100.0 * count / max(row[0] if row else 1, 1))
    while True:
        rows = connection.execute(
            f"SELECT id FROM (SELECT id FROM {table} TABLESAMPLE SYSTEM ({percent})) t ORDER BY random() LIMIT {count}"
        ).fetchall()
        if rows or percent >= 100:
            return [each[0] for each in rows]
        percent = min(100.0, percent * WIDER)


def _digests(connection: Connection, kind: str, ids: Sequence[uuid.UUID]) -> dict[str, str]:
    """By id, of those that are there."""
    found: dict[str, Any] = {}
    for table, owner in CONTENTS[kind].items():
        names = [sql.Identifier(name) for (name,) in connection.execute(COLUMNS, [table]).fetchall()]
        statement = ROWS.format(
            owner=sql.Identifier(owner), table=sql.Identifier(table), columns=sql.SQL(", ").join(names)
        )
        for each, digest in connection.execute(statement, [list(ids)]).fetchall():
            found.setdefault(str(each), hashlib.sha256()).update(table.encode() + digest)
    return {each: digest.hexdigest() for each, digest in found.items()}


def _opened(sealed: str, identity: str) -> Digests:
    try:
        opened: Digests = orjson.loads(pyrage.decrypt(base64.b64decode(sealed, validate=True), identities_of(identity)))
    except (pyrage.DecryptError, binascii.Error, ValueError):
        raise BackupFailed("The samples in the manifest do not open with this key, which opens the dump.") from None
    return opened
