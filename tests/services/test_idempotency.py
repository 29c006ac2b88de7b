"""A create that is sent twice is done once."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from config import Principal
from models import IdempotencyKey, Patient
from models.engine import Databases
from services.errors import Invalid
from services.field_encryption import FieldCipher
from services.idempotency import claim, digest_of, remember
from services.patient_create import create_patient
from tests.factories.cast import Cast, Person


def create_once(databases: Databases, cipher: FieldCipher, person: Person, key: str, name: str) -> uuid.UUID:
    digest = digest_of("POST /api/patients", name.encode())
    with databases.session(Principal.STAFF) as session:
        made = claim(session, person.actor, key, digest)
        if made is None:
            made = create_patient(session, person.actor, cipher, {"fullName": name, "sex": "OTHER"}).patient.id
            remember(session, person.actor, key, digest, "patient", made)
        return made


def patients_named(databases: Databases, name: str) -> int:
    with databases.session(Principal.STAFF) as session:
        return session.scalar(select(func.count()).select_from(Patient).where(Patient.full_name == name)) or 0


def test_the_same_key_and_body_give_what_was_made(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    key, name = str(uuid.uuid4()), f"Uma vez {uuid.uuid4()}"
    first = create_once(databases, cipher, cast.doctor, key, name)
    assert create_once(databases, cipher, cast.doctor, key, name) == first
    assert patients_named(databases, name) == 1
    assert create_once(databases, cipher, cast.doctor2, key, name) != first, "keys are a user's own"


def test_another_body_under_the_same_key_is_refused(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    key, other = str(uuid.uuid4()), f"Outro {uuid.uuid4()}"
    create_once(databases, cipher, cast.doctor, key, "Original")
    with pytest.raises(Invalid):
        create_once(databases, cipher, cast.doctor, key, other)
    assert patients_named(databases, other) == 0
    assert digest_of("POST /api/patients", b"{}") != digest_of("POST /api/visits", b"{}")


@pytest.mark.parametrize("key", ["", "x" * 201, "com espaço", "acento é", "quebra\n"])
def test_a_malformed_key_is_refused(databases: Databases, cast: Cast, cipher: FieldCipher, key: str) -> None:
    with pytest.raises(Invalid):
        create_once(databases, cipher, cast.doctor, key, "Ninguém")


def test_a_key_lasts_a_day(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    key, name = str(uuid.uuid4()), f"Ontem {uuid.uuid4()}"
    first = create_once(databases, cipher, cast.doctor, key, name)
    with databases.session(Principal.STAFF) as session:
        lasts = session.get_one(IdempotencyKey, (cast.doctor.id, key))
        assert lasts.expires_at - lasts.created_at == timedelta(hours=24)
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(update(IdempotencyKey).where(IdempotencyKey.key == key).values(expires_at=datetime.now(UTC)))
    assert create_once(databases, cipher, cast.doctor, key, name) != first


def test_a_failed_request_leaves_the_key_free(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    key, name = str(uuid.uuid4()), f"Segunda vez {uuid.uuid4()}"
    digest = digest_of("POST /api/patients", name.encode())
    with databases.session(Principal.STAFF) as session:
        assert claim(session, cast.doctor.actor, key, digest) is None
        remember(session, cast.doctor.actor, key, digest, "patient", uuid.uuid4())
        session.rollback()
    create_once(databases, cipher, cast.doctor, key, name)
    assert patients_named(databases, name) == 1


def test_simultaneous_duplicates_wait_and_replay(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    key, name = str(uuid.uuid4()), f"Simultâneo {uuid.uuid4()}"
    start = threading.Barrier(5)
    made: list[uuid.UUID] = []

    def attempt() -> None:
        start.wait(timeout=10)
        made.append(create_once(databases, cipher, cast.doctor, key, name))

    threads = [threading.Thread(target=attempt) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(made) == 5 and len(set(made)) == 1
    assert patients_named(databases, name) == 1
