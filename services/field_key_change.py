"""Seal everything anew under the current field key, and make the blind indexes anew, while people work.

Nothing remembers how far this came: each ciphertext says its key, so a run that was killed is begun again and passes
over what is done. Every batch is a transaction of its own, with its rows locked for as long as it takes; what somebody
is writing at that moment waits for the next pass, so nobody and nothing here waits for the other. Neither version nor
time of a row changes, for nothing of what it says does.

Accounts come first, each together with the patient of the same CPF: the watch over accesses finds relations by equal
indexes (services/access_kin.py). Then patients; then versions, those a concurrent correction wrote meanwhile included.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import RowMapping, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from config import Principal
from models.engine import Databases
from services.audit_event import SYSTEM, Event, record
from services.field_encryption import FieldCipher
from services.field_keys import COUNT_TIMEOUT, count_sealed
from services.identifier_check import formatted
from services.import_identifiers import stored_ids
from services.patient_fields import DOCUMENTS

BATCH = 200
NOTHING_YET = uuid.UUID(int=0)
SEALED = ("audit_key", *DOCUMENTS)
COLUMNS = ", ".join(
    [*(f"{name}_cipher" for name in SEALED), *(f"{kind}_index" for kind in DOCUMENTS), "source_id"]
)
OTHER = " OR ".join(f"get_byte({name}_cipher, 0) <> :current" for name in SEALED)
PATIENTS = text(
    f"SELECT id, {COLUMNS} FROM patients WHERE id > :after AND ({OTHER}) ORDER BY id LIMIT :n FOR UPDATE SKIP LOCKED"
)
PATIENT_OF = text(f"SELECT id, {COLUMNS} FROM patients WHERE cpf_index = :index FOR UPDATE SKIP LOCKED")
STORE_PATIENT = text(
    "UPDATE patients SET "
    + ", ".join(f"{column} = :{column}" for column in COLUMNS.split(", "))
    + " WHERE id = :id"
)
USERS = text(
    "SELECT id, cpf_cipher, cpf_index FROM users WHERE id > :after AND cpf_index IS NOT NULL "
    "AND (cpf_cipher IS NULL OR get_byte(cpf_cipher, 0) <> :current) ORDER BY id LIMIT :n FOR UPDATE SKIP LOCKED"
)
STORE_USER = text("UPDATE users SET cpf_cipher = :cpf_cipher, cpf_index = :cpf_index WHERE id = :id")
OTHER_DOCUMENT = " OR ".join(
    f"get_byte(decode(left(content->>'{kind}', 4), 'base64'), 0) <> :current" for kind in DOCUMENTS
)
DOCUMENTS_KEPT = ", ".join(f"content->>'{kind}' AS {kind}" for kind in DOCUMENTS)
VERSIONS = text(
    f"SELECT patient_id AS id, version, {DOCUMENTS_KEPT} FROM patient_versions "
    f"WHERE (patient_id, version) > (:after, :after_version) AND ({OTHER_DOCUMENT}) "
    "ORDER BY patient_id, version LIMIT :n FOR UPDATE SKIP LOCKED"
)
STORE_VERSION = text(
    "UPDATE patient_versions SET content = content || CAST(:documents AS jsonb) "
    "WHERE patient_id = :id AND version = :version"
)

Progress = Callable[[int, int | None], None]


@dataclass(slots=True)
class Changed:
    """What one run did. ``left``: rows that still need a former key; ``unsealed``: accounts whose CPF is not known.

    ``clashing``: patients (or accounts) whose CPF or CNS another one has under the current key; ``unreadable``: rows
    that don't open.
    """

    done: int = 0
    left: int = 0
    unsealed: int = 0
    clashing: list[uuid.UUID] = field(default_factory=list)
    unreadable: list[uuid.UUID] = field(default_factory=list)


def change_field_key(
    databases: Databases, cipher: FieldCipher, *, progress: Progress = lambda done, total: None, batch: int = BATCH
) -> Changed:
    """Move every row to ``cipher``'s current key, as the migrator. Its beginning and its end are events."""
    with databases.session(Principal.MIGRATOR) as session:
        before = count_sealed(session)
        record(session, SYSTEM, Event("keys.reencrypt", "key"))
    changed = Changed(left=before.under(before.numbers - {cipher.current}))
    total, moved = changed.left, -1
    while moved < changed.done:  # until a pass moves nothing, which the second one does as a rule
        moved = changed.done
        changed.clashing, changed.unreadable = [], []
        for work in (_accounts, _patients, _versions):
            place: tuple[uuid.UUID, int] | None = (NOTHING_YET, 0)
            while place is not None:
                with databases.session(Principal.MIGRATOR) as session:
                    session.execute(text(COUNT_TIMEOUT))  # a run that goes on passes over all that is done
                    place = work(session, cipher, changed, place, batch)
                progress(min(changed.done, total), total)
        with databases.session(Principal.MIGRATOR) as session:
            after = count_sealed(session)
        changed.left, changed.unsealed = after.under(after.numbers - {cipher.current}), after.unsealed
        if not changed.left:
            break
    with databases.session(Principal.MIGRATOR) as session:
        outcome = Event("keys.reencrypted", "key", outcome="failure" if changed.left else "success")
        record(session, SYSTEM, outcome)
    return changed


def _accounts(
    session: Session, cipher: FieldCipher, changed: Changed, after: tuple[uuid.UUID, int], batch: int
) -> tuple[uuid.UUID, int] | None:
    rows = session.execute(USERS, {"after": after[0], "current": cipher.current, "n": batch}).mappings().all()
    for row in rows:
        patients = session.execute(PATIENT_OF, {"index": row["cpf_index"]}).mappings().all()
        try:
            number = _number_of(cipher, row, patients)
        except ValueError:
            changed.unreadable.append(row["id"])
            continue
        if number is None:
            continue  # said as unsealed
        _store_patients(session, cipher, changed, patients)
        sealed = {"cpf_cipher": cipher.encrypt(number, row["id"]), "cpf_index": cipher.blind_index("cpf", number)}
        try:
            with session.begin_nested():
                session.execute(STORE_USER, {"id": row["id"], **sealed})
            changed.done += 1
        except IntegrityError:
            changed.clashing.append(row["id"])
    return (rows[-1]["id"], 0) if rows else None


def _number_of(cipher: FieldCipher, user: RowMapping, patients: Sequence[RowMapping]) -> str | None:
    """The account's CPF: its own, or that of the patient with an equal index. Raises ValueError."""
    if user["cpf_cipher"] is not None:
        return cipher.decrypt(user["cpf_cipher"], user["id"])
    return cipher.decrypt(patients[0]["cpf_cipher"], patients[0]["id"]) if patients else None


def _patients(
    session: Session, cipher: FieldCipher, changed: Changed, after: tuple[uuid.UUID, int], batch: int
) -> tuple[uuid.UUID, int] | None:
    rows = session.execute(PATIENTS, {"after": after[0], "current": cipher.current, "n": batch}).mappings().all()
    _store_patients(session, cipher, changed, rows)
    return (rows[-1]["id"], 0) if rows else None


def _store_patients(session: Session, cipher: FieldCipher, changed: Changed, rows: Sequence[RowMapping]) -> None:
    sealed = []
    for row in rows:
        try:
            sealed.append(_sealed_anew(cipher, row))
        except ValueError:
            changed.unreadable.append(row["id"])
    try:
        with session.begin_nested():
            _store(session, STORE_PATIENT, sealed)
        changed.done += len(sealed)
    except IntegrityError:
        for values in sealed:
            try:
                with session.begin_nested():
                    _store(session, STORE_PATIENT, [values])
                changed.done += 1
            except IntegrityError:
                changed.clashing.append(values["id"])


def _sealed_anew(cipher: FieldCipher, row: RowMapping) -> dict[str, Any]:
    """The row's columns under the current key. Raises ValueError when one does not open."""
    values = dict(row)
    numbers = []
    values["audit_key_cipher"] = cipher.encrypt_bytes(
        cipher.decrypt_bytes(row["audit_key_cipher"], row["id"]), row["id"]
    )
    for kind in DOCUMENTS:
        if row[f"{kind}_cipher"] is not None:
            number = cipher.decrypt(row[f"{kind}_cipher"], row["id"])
            numbers.append(number)
            values[f"{kind}_cipher"] = cipher.encrypt(number, row["id"])
            values[f"{kind}_index"] = cipher.blind_index(kind, number)
    # A source that names people by their CPF or CNS: its id is an index too.
    for name in {*numbers, *(formatted("cpf", number) for number in numbers)}:
        if row["source_id"] in (stored := stored_ids(cipher, name)):
            values["source_id"] = stored[0]
    return values


def _versions(
    session: Session, cipher: FieldCipher, changed: Changed, after: tuple[uuid.UUID, int], batch: int
) -> tuple[uuid.UUID, int] | None:
    where = {"after": after[0], "after_version": after[1], "current": cipher.current, "n": batch}
    rows = session.execute(VERSIONS, where).mappings().all()
    sealed = []
    for row in rows:
        try:
            sealed.append({"id": row["id"], "version": row["version"], "documents": _documents_anew(cipher, row)})
        except ValueError:
            changed.unreadable.append(row["id"])
    _store(session, STORE_VERSION, sealed)
    changed.done += len(sealed)
    return (rows[-1]["id"], rows[-1]["version"]) if rows else None


def _documents_anew(cipher: FieldCipher, row: RowMapping) -> str:
    anew = {
        kind: base64.b64encode(
            cipher.encrypt_bytes(cipher.decrypt_bytes(base64.b64decode(row[kind]), row["id"]), row["id"])
        ).decode()
        for kind in DOCUMENTS
        if row[kind] is not None
    }
    return orjson.dumps(anew).decode()


def _store(session: Session, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        session.execute(statement, rows)
