"""Users and passwords: made, disabled, kept in versions, and what a password may be (SECURITY 9; NGS1.03)."""

from __future__ import annotations

import secrets
import time
import unicodedata
import uuid
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import Principal
from models import Role, RoleVersion, User, UserRole, UserVersion
from models.engine import Databases
from services.actor import Actor
from services.audit_event import SYSTEM
from services.errors import Conflict, Forbidden, Invalid, NotFound
from services.field_encryption import FieldCipher
from services.password import check_password, common_passwords, hash_password, is_common, verify_password
from services.user_create import MadeUser, create_user
from services.user_disable import disable_user
from tests.factories.cast import Cast

PASSWORD = "cavalo certo bateria grampo"


@pytest.fixture
def admin(cast: Cast) -> Actor:
    """An administrator in a session of theirs."""
    return Actor(user_id=cast.admin.id, role=Role.ADMIN, name="Davi Nunes")


def make(session: Session, cipher: FieldCipher, actor: Any = SYSTEM, **values: Any) -> MadeUser:
    given = {"email": f"{secrets.token_hex(8)}@example.org", "full_name": "Ana Moura", "roles": ["DOCTOR"]}
    return create_user(session, actor, cipher, **{**given, "password": PASSWORD, **values})


def test_a_user_is_kept_with_versions_roles_and_an_event(session: Session, cipher: FieldCipher, admin: Actor) -> None:
    made = make(session, cipher, admin, roles=["RECEPTION", "AUDITOR"], council="CRM-SP 123456")
    assert made.password is None
    version = session.get_one(UserVersion, (made.user_id, 1))
    assert version.changed_by == admin.user_id
    assert (version.content["fullName"], version.content["council"]) == ("Ana Moura", "CRM-SP 123456")
    assert "argon2" not in str(version.content)
    assert session.get_one(RoleVersion, (made.user_id, 1)).roles == ["AUDITOR", "RECEPTION"]
    held = session.scalars(select(UserRole.role).where(UserRole.user_id == made.user_id)).all()
    assert sorted(held) == ["AUDITOR", "RECEPTION"]


def test_making_a_user_is_recorded_without_their_data(databases: Databases, cipher: FieldCipher, admin: Actor) -> None:
    with databases.session(Principal.STAFF) as session:
        made = make(session, cipher, admin, full_name="Beatriz Ueda", roles=["RECEPTION"])
    with databases.session(Principal.WORKER) as session:
        event = session.execute(text("SELECT * FROM audit_outbox WHERE entity_id = :id"), {"id": made.user_id}).one()
    assert (event.action, event.outcome, event.actor_id) == ("user.create", "success", admin.user_id)
    assert {"email", "fullName", "roles"} <= {change["field"] for change in event.changes}
    assert "Beatriz" not in str(event)


def test_without_a_password_one_is_made_that_must_be_changed(session: Session, cipher: FieldCipher) -> None:
    first, second = (make(session, cipher, password=None) for _ in range(2))
    assert first.password
    assert first.password != second.password
    check_password(first.password)
    assert session.get_one(User, first.user_id).must_change_password


@pytest.mark.parametrize(
    ("values", "pointers"),
    [
        ({"email": "no address"}, ["/email"]),
        ({"email": "a@b\n@example.org"}, ["/email"]),
        ({"full_name": "  "}, ["/fullName"]),
        ({"full_name": "x" * 201}, ["/fullName"]),
        ({"roles": []}, ["/roles"]),
        ({"roles": ["DOCTOR", "OWNER"]}, ["/roles"]),
        ({"roles": ["PATIENT"]}, ["/patientId"]),
        ({"roles": ["DOCTOR"], "patient_id": uuid.uuid4()}, ["/patientId"]),
        ({"roles": ["PATIENT"], "patient_id": uuid.uuid4()}, ["/patientId"]),
        ({"roles": ["PATIENT", "DOCTOR"], "patient_id": uuid.uuid4()}, ["/roles"]),
        ({"quota": "20"}, ["/quota"]),
        ({"email": "x", "full_name": ""}, ["/email", "/fullName"]),
        ({"password": "curta"}, ["/password"]),
    ],
)
def test_a_user_that_makes_no_sense_is_refused(
    values: dict[str, Any], pointers: list[str], session: Session, cipher: FieldCipher
) -> None:
    with pytest.raises(Invalid) as caught:
        make(session, cipher, **values)
    assert [error.pointer for error in caught.value.errors] == pointers


def test_an_address_has_one_account_however_it_is_written(session: Session, cipher: FieldCipher) -> None:
    email = f"{secrets.token_hex(8)}@example.org"
    make(session, cipher, email=email)
    with pytest.raises(Conflict):
        make(session, cipher, email=f" {email.upper()} ")


def test_who_may_make_and_disable_users(session: Session, cipher: FieldCipher, cast: Cast, admin: Actor) -> None:
    for actor in (cast.doctor.actor, cast.admin.actor):  # a doctor; an admin's token
        with pytest.raises(Forbidden):
            make(session, cipher, actor)
        with pytest.raises(Forbidden):
            disable_user(session, actor, cipher, email=cast.nurse.email)
    for role in ("DOCTOR", "NURSE", "ADMIN"):  # a second administrator must approve these
        with pytest.raises(Forbidden):
            make(session, cipher, admin, roles=[role])
    with pytest.raises(Forbidden):
        disable_user(session, admin, cipher, email=cast.admin.email)
    with pytest.raises(NotFound):
        disable_user(session, admin, cipher, email="nobody@example.org")


def test_one_active_admin_stays(fresh_databases: Databases, cipher: FieldCipher) -> None:
    emails = ["first@example.org", "second@example.org"]
    with fresh_databases.session(Principal.STAFF) as session:
        for email in emails:
            make(session, cipher, email=email, roles=["ADMIN"])
    with fresh_databases.session(Principal.STAFF) as session:
        disable_user(session, SYSTEM, cipher, email=emails[0])
        disable_user(session, SYSTEM, cipher, email=emails[0])
        with pytest.raises(Conflict):
            disable_user(session, SYSTEM, cipher, email=emails[1])


@pytest.mark.parametrize(
    "password",
    [
        "", "elevenchars", "x" * 257, "senha12345678", "Senha1234567", "SENHASENHA", "corinthians1910",
        "DeuséFiel1234", "password1234", "P@ssw0rd2026", "aaaaaaaaaaaaaaa", "123456789012", "qwertyuiop123",
        "administrador", "abababababab", "prontuario!!",
    ],
)  # fmt: skip
def test_security_09_short_and_common_passwords_are_refused(password: str) -> None:
    with pytest.raises(Invalid):
        check_password(password)


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "x7#pQ2!mZ9&k",
        "  spaces count too  ",
        "çãõéüñ çãõéüñ",
        "🩺🫀🧠 três órgãos",
        "y" * 5 + "abcdefghijkmn" * 10,
    ],
)
def test_security_09_long_and_odd_passwords_are_accepted_and_none_is_cut(password: str) -> None:
    check_password(password)
    stored = hash_password(password)
    assert verify_password(stored, password)
    assert not verify_password(stored, password[:-1])
    assert verify_password(stored, unicodedata.normalize("NFD", password)), "the same letters, typed elsewhere"


def test_security_09_the_list_is_of_use() -> None:
    known = common_passwords()
    assert len(known) > 500
    assert all(word == word.lower() and " " not in word for word in known)
    assert {"senha", "flamengo", "prontuario", "qwertyuiop"} <= known
    assert is_common("Flamengo2026")
    assert not is_common("flamengo joga amanhã em casa")


@pytest.mark.usefixtures("real_passwords")
def test_security_11_no_hash_costs_as_much_as_a_wrong_one() -> None:
    stored = hash_password(PASSWORD)
    verify_password(None, "warm up")

    def seconds(hash_: str | None) -> float:
        started = time.process_time()
        assert not verify_password(hash_, "a wrong password")
        return time.process_time() - started

    known = min(seconds(stored) for _ in range(3))
    assert min(seconds(None) for _ in range(3)) > known / 2
