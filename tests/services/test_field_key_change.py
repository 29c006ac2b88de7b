"""Changing FIELD_KEY while people work: both keys open and find in between, the former one nothing afterwards."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text, update

from config import ConfigurationError, Principal, Settings, load_settings
from models import AuditOutbox, Patient, PatientVersion, Role, User
from models.engine import Databases
from services.audit_event import SYSTEM
from services.errors import Conflict, Invalid
from services.field_encryption import FieldCipher, field_cipher
from services.field_key_change import change_field_key
from services.field_keys import count_sealed, refuse_dropped_keys
from services.import_identifiers import stored_ids
from services.patient_fields import open_content
from services.patient_list import PatientSearch, search_patients
from services.patient_update import may_update_patient, update_patient
from services.record_write import audit_key
from services.user_create import create_user
from services.user_invite import invite_user
from tests.conftest import test_key as key_for
from tests.factories.cast import Person, make_cpf, make_patient, make_person
from tests.services.patients_at_the_desk import change, register

pytestmark = pytest.mark.database

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW = key_for("fields"), key_for("fields of next year")


@pytest.fixture
def desk(fresh_databases: Databases) -> Person:
    """Reception, who see numbers in clear, so that no look-up is counted."""
    return make_person(fresh_databases, Role.RECEPTION, "Rita Balcão")


def cipher_of(*keys: str) -> FieldCipher:
    return FieldCipher(*map(base64.b64decode, keys))


def is_found(databases: Databases, cipher: FieldCipher, person: Person, cpf: str) -> bool:
    return b'"id"' in search_patients(databases, person.actor, cipher, PatientSearch(cpf=cpf)).data


def account_with(databases: Databases, cipher: FieldCipher, cpf: str, *, sealed: bool = True) -> uuid.UUID:
    """A user whose CPF is indexed; not ``sealed``: as it was before keys could change."""
    with databases.session(Principal.STAFF) as session:
        email = f"{uuid.uuid4().hex}@example.org"
        user_id = create_user(session, SYSTEM, cipher, email=email, full_name="Uma Conta", roles=["AUDITOR"]).user_id
    with databases.session(Principal.MIGRATOR) as session:
        values = {"cpf_index": cipher.blind_index("cpf", cpf)}
        values |= {"cpf_cipher": cipher.encrypt(cpf, user_id)} if sealed else {}
        session.execute(update(User).where(User.id == user_id).values(**values))
    return user_id


class Stopped(Exception):
    """Stands for a kill between two batches."""


def test_security_23_keys_change_while_people_work(
    fresh_databases: Databases, fresh_settings: Settings, desk: Person
) -> None:
    databases = fresh_databases
    old, between, new = cipher_of(OLD), cipher_of(NEW, OLD), cipher_of(NEW)
    numbers = [make_cpf() for _ in range(5)]
    ids = [register(databases, old, desk, cpf=cpf, cns="700000000000005" if not place else None)
           for place, cpf in enumerate(numbers)]  # fmt: skip
    change(databases, old, desk, ids[0], 1, cpf=(corrected := make_cpf()))
    numbers[0] = corrected
    owner = account_with(databases, old, numbers[1], sealed=False)
    colleague = account_with(databases, old, colleagues := make_cpf())
    later = make_cpf()
    register(databases, between, desk, cpf=later)
    with databases.session(Principal.STAFF) as session:
        before = {p.id: (p.version, p.updated_at, audit_key(old, p)) for p in session.scalars(
            select(Patient).where(Patient.id.in_(ids)))}  # fmt: skip

    with pytest.raises(ConfigurationError, match="put the former key back"):
        refuse_dropped_keys(fresh_settings.model_copy(update={"field_key": SecretStr(NEW)}), Principal.WORKER)

    def everybody_is_found(*_: object) -> None:
        for cpf in (*numbers, later):
            assert is_found(databases, between, desk, cpf), "look-ups work in between"

    def stop(done: int, total: int | None) -> None:
        everybody_is_found()
        if done >= 3:
            raise Stopped

    with pytest.raises(Stopped):
        change_field_key(databases, between, progress=stop, batch=1)
    with databases.session(Principal.MIGRATOR) as session:
        half = count_sealed(session)
    assert 0 < half.under([old.current]) < 13 and half.under([new.current])
    seen: list[tuple[int, int | None]] = []

    def look(done: int, total: int | None) -> None:
        seen.append((done, total))
        everybody_is_found()

    changed = change_field_key(databases, between, batch=2, progress=look)
    assert (changed.left, changed.unsealed, changed.clashing, changed.unreadable) == (0, 0, [], [])
    assert seen[-1][0] == seen[-1][1] == changed.done == half.under([old.current])

    for cpf in (*numbers, later):
        assert is_found(databases, new, desk, cpf)
        assert not is_found(databases, old, desk, cpf)
    with databases.session(Principal.STAFF) as session:
        for patient in session.scalars(select(Patient).where(Patient.id.in_(ids))):
            assert (patient.version, patient.updated_at, audit_key(new, patient)) == before[patient.id]
            with pytest.raises(ValueError, match="not configured"):
                audit_key(old, patient)
        contents = [open_content(new, row.patient_id, row.content) for row in session.scalars(select(PatientVersion))]
    assert {content["cpf"] for content in contents} >= {*numbers, later}
    with databases.session(Principal.MIGRATOR) as session:
        for user_id, cpf in ((owner, numbers[1]), (colleague, colleagues)):
            user = session.get_one(User, user_id)
            assert user.cpf_index == new.blind_index("cpf", cpf)
            assert new.decrypt(user.cpf_cipher or b"", user_id) == cpf
    refuse_dropped_keys(fresh_settings.model_copy(update={"field_key": SecretStr(NEW)}), Principal.STAFF)
    with databases.session(Principal.WORKER) as session:
        done = session.execute(
            select(AuditOutbox.action, AuditOutbox.outcome, AuditOutbox.actor_role)
            .where(AuditOutbox.action.like("keys.%")).order_by(AuditOutbox.id)
        ).all()  # fmt: skip
    began, ended = ("keys.reencrypt", "success", "SYSTEM"), ("keys.reencrypted", "success", "SYSTEM")
    assert done == [began, began, ended], "the run that was killed is in the trail too"


# In a process of its own, which ends in the middle of its second batch, with rows locked and half of them written.
KILLED = """
import os, signal, sys
from base64 import b64decode
from models.engine import Databases
from services.field_encryption import FieldCipher
from services.field_key_change import change_field_key

class Mortal(FieldCipher):
    sealed = 0
    def encrypt_bytes(self, value, row_id):
        self.sealed += 1
        if self.sealed == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encrypt_bytes(value, row_id)

url, new, old = sys.stdin.read().split()
change_field_key(Databases({"migrator": url}, pool_size=1), Mortal(b64decode(new), b64decode(old)), batch=2)
"""


def test_a_killed_run_leaves_whole_rows_and_the_next_one_goes_on(
    fresh_databases: Databases, fresh_settings: Settings, desk: Person
) -> None:
    between, new = cipher_of(NEW, OLD), cipher_of(NEW)
    numbers = [make_cpf() for _ in range(6)]
    for cpf in numbers:
        make_patient(fresh_databases, fresh_settings, cpf=cpf)  # two ciphertexts each
    given = f"{fresh_settings.url_for(Principal.MIGRATOR)} {NEW} {OLD}"
    died = subprocess.run([sys.executable, "-c", KILLED], input=given, text=True, cwd=ROOT, timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    with fresh_databases.session(Principal.MIGRATOR) as session:
        rows = count_sealed(session)
    assert rows.by_kind["patients"] == {new.current: 2, cipher_of(OLD).current: 4}, "the first batch whole"
    assert all(is_found(fresh_databases, between, desk, cpf) for cpf in numbers)
    changed = change_field_key(fresh_databases, between)
    assert (changed.done, changed.left) == (4, 0)
    assert all(is_found(fresh_databases, new, desk, cpf) for cpf in numbers)


def test_what_can_not_be_moved_is_said_and_keeps_its_key(
    fresh_databases: Databases, fresh_settings: Settings, desk: Person
) -> None:
    between = cipher_of(NEW, OLD)
    settings = fresh_settings.model_copy(update={"field_key": SecretStr(NEW), "field_key_previous": SecretStr(OLD)})
    cpf = make_cpf()
    twin = make_patient(fresh_databases, fresh_settings, cpf=cpf)
    register(fresh_databases, cipher_of(NEW), desk, cpf=cpf)  # by a process that knew nothing of the other key
    broken = make_patient(fresh_databases, fresh_settings)
    with fresh_databases.session(Principal.STAFF) as session:
        session.get_one(Patient, broken).audit_key_cipher = bytes([cipher_of(OLD).current]) + bytes(40)
    nobodys = account_with(fresh_databases, cipher_of(OLD), make_cpf(), sealed=False)
    account_with(fresh_databases, cipher_of(NEW), shared := make_cpf())
    same = account_with(fresh_databases, cipher_of(OLD), shared)
    changed = change_field_key(fresh_databases, between)
    assert (changed.clashing, changed.unreadable, changed.left, changed.unsealed) == ([same, twin], [broken], 3, 1)
    with pytest.raises(ConfigurationError):
        refuse_dropped_keys(settings.model_copy(update={"field_key_previous": SecretStr("")}), Principal.STAFF)
    with fresh_databases.session(Principal.STAFF) as session:
        assert audit_key(between, session.get_one(Patient, twin))
        assert session.get_one(User, nobodys).cpf_index is not None


def test_what_somebody_is_writing_waits_for_the_next_pass(
    fresh_databases: Databases, fresh_settings: Settings, desk: Person
) -> None:
    """And keeps nobody waiting. A version that such a correction leaves under the former key is found too."""
    old, between = cipher_of(OLD), cipher_of(NEW, OLD)
    first, second = (register(fresh_databases, old, desk, cpf=make_cpf()) for _ in range(2))
    seen: list[int] = []
    with fresh_databases.session(Principal.STAFF) as writing:
        access = may_update_patient(writing, desk.actor, first)

        def finish(done: int, total: int | None) -> None:
            seen.append(done)
            if done == 3 and access.patient.version == 1:  # the other patient, and a version of each
                update_patient(writing, desk.actor, old, access, version=1, content={"phone": "11 5555-0199"})
                writing.commit()

        changed = change_field_key(fresh_databases, between, progress=finish)
    assert (changed.left, changed.done) == (0, 5), "two patients and three versions"
    assert 3 in seen
    with fresh_databases.session(Principal.STAFF) as session:
        assert session.get_one(Patient, first).phone == "11 5555-0199"
        assert all(audit_key(cipher_of(NEW), session.get_one(Patient, each)) for each in (first, second))


def outcomes_of_both(act: Callable[[FieldCipher], object], refusal: type[Exception]) -> list[str]:
    """Of four who do the same at once, in two kinds of processes: with the keys the one way round, and the other."""
    start = threading.Barrier(4)
    outcomes: list[str] = []

    def attempt(cipher: FieldCipher) -> None:
        start.wait(timeout=20)
        try:
            act(cipher)
            outcomes.append("made")
        except refusal:
            outcomes.append("refused")

    ciphers = [cipher_of(OLD, NEW), cipher_of(NEW, OLD)] * 2
    threads = [threading.Thread(target=attempt, args=[cipher]) for cipher in ciphers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return sorted(outcomes)


def test_of_two_processes_with_the_keys_the_other_way_round_one_registers_a_cpf(
    fresh_databases: Databases, desk: Person
) -> None:
    cpf = make_cpf()
    found = outcomes_of_both(lambda cipher: register(fresh_databases, cipher, desk, cpf=cpf), Conflict)
    assert found == ["made"] + ["refused"] * 3


def test_of_two_processes_with_the_keys_the_other_way_round_one_invites_a_cpf(fresh_databases: Databases) -> None:
    person = make_person(fresh_databases, Role.ADMIN, "Helena Prates")
    at_a_browser, cpf = replace(person.actor, scopes=None, token_id=None), make_cpf()

    def invite(cipher: FieldCipher) -> None:
        with fresh_databases.session(Principal.STAFF) as session:
            invite_user(
                session, at_a_browser, cipher, email=f"{uuid.uuid4().hex}@example.org", full_name="Marina Alves",
                roles=["RECEPTION"], reason="começa em dezembro", cpf=cpf,
            )  # fmt: skip

    assert outcomes_of_both(invite, Invalid) == ["made"] + ["refused"] * 3


def test_a_source_that_names_people_by_cpf_recognises_them_under_the_new_key(
    fresh_databases: Databases, fresh_settings: Settings
) -> None:
    cpf = make_cpf()
    (stored,) = stored_ids(cipher_of(OLD), cpf)
    patient = make_patient(fresh_databases, fresh_settings, cpf=cpf, source="his", source_id=stored)
    change_field_key(fresh_databases, cipher_of(NEW, OLD))
    with fresh_databases.session(Principal.STAFF) as session:
        assert session.get_one(Patient, patient).source_id == stored_ids(cipher_of(NEW), cpf)[0]


@pytest.mark.parametrize("listed", [f"{OLD},{NEW}", f"{NEW}\n{NEW}"])
def test_keys_that_no_ciphertext_could_tell_apart_are_refused(settings: Settings, listed: str) -> None:
    with pytest.raises(ConfigurationError, match="two keys of the same number") as refused:
        load_settings(**settings.model_dump() | {"field_key": OLD, "field_key_previous": listed})
    assert OLD not in str(refused.value)


def test_several_former_keys_open(settings: Settings) -> None:
    older = key_for("fields of long ago")
    changed = load_settings(**settings.model_dump() | {"field_key": NEW, "field_key_previous": f"{OLD}, {older}\n"})
    row = uuid.uuid4()
    for key in (OLD, older, NEW):
        assert field_cipher(changed).decrypt(cipher_of(key).encrypt("x", row), row) == "x"


def test_no_web_role_reads_the_sealed_cpf_of_an_account(fresh_databases: Databases) -> None:
    for principal in (Principal.STAFF, Principal.ANONYMOUS, Principal.PATIENT, Principal.AUDITOR, Principal.WORKER):
        with fresh_databases.engine(principal).connect() as connection:
            may = "SELECT has_column_privilege('users', 'cpf_cipher', 'SELECT')"
            assert connection.execute(text(may)).scalar_one() is False, principal
