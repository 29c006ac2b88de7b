"""Roles by two administrators, invitations, and what ends when a role does (SECURITY 35: SBIS NGS1.03)."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from config import Principal
from models import ApiToken, AuditOutbox, Notification, PasswordLink, Role, RoleRequest, RoleVersion, User, new_id
from models import Session as SessionRow
from models.engine import Databases
from services.actor import Actor
from services.audit_event import SYSTEM, Origin
from services.authenticate import find_token
from services.council_number import normal_council
from services.errors import Conflict, Forbidden, Invalid, NotFound
from services.field_encryption import FieldCipher
from services.password_link_request import reset_password
from services.role_decide import approve_role, decline_role
from services.role_remove import remove_role
from services.role_request import request_role
from services.session_start import start_session
from services.user_create import create_user
from services.user_disable import disable_user
from services.user_enable import enable_user
from services.user_invite import Invited, invite_user
from tests.factories.cast import Cast, make_cpf, make_person


def in_session(actor: Actor) -> Actor:
    """The person of a token, at a browser."""
    return replace(actor, scopes=None, token_id=None)


@pytest.fixture
def admin(cast: Cast) -> Actor:
    return in_session(cast.admin.actor)


@pytest.fixture
def second(databases: Databases) -> Actor:
    return in_session(make_person(databases, Role.ADMIN, "Helena Prates").actor)


def invite(session: Session, actor: Actor, cipher: FieldCipher, *roles: str, **values: str | None) -> Invited:
    given: dict[str, str | None] = {"council": "CRM-SP 123456" if "DOCTOR" in roles else None, "cpf": None}
    return invite_user(
        session, actor, cipher, email=f"{secrets.token_hex(8)}@example.org", full_name="Marina Alves", roles=roles,
        reason="começa em dezembro", **(given | values),  # type: ignore[arg-type]
    )  # fmt: skip


def open_request(session: Session, user_id: uuid.UUID) -> RoleRequest:
    return session.scalars(
        select(RoleRequest).where(RoleRequest.user_id == user_id, RoleRequest.decided_at.is_(None))
    ).one()


def links_of(session: Session, user_id: uuid.UUID) -> list[PasswordLink]:
    return list(session.scalars(select(PasswordLink).where(PasswordLink.user_id == user_id).order_by(PasswordLink.id)))


def test_security_35_a_role_that_opens_nothing_clinical_is_in_force_at_once(
    session: Session, cipher: FieldCipher, admin: Actor
) -> None:
    made = invite(session, admin, cipher, "RECEPTION")
    assert (made.granted, made.waiting) == ((Role.RECEPTION,), ())
    user = session.get_one(User, made.user_id)
    assert [held.role for held in user.roles] == ["RECEPTION"]
    assert user.roles[0].granted_by == admin.user_id
    assert [link.kind for link in links_of(session, user.id)] == ["invitation"]


@pytest.mark.parametrize("role", ["DOCTOR", "ADMIN"])
def test_security_35_clinical_roles_and_admin_need_a_second_administrator(
    session: Session, cipher: FieldCipher, admin: Actor, second: Actor, role: str
) -> None:
    made = invite(session, admin, cipher, role)
    user = session.get_one(User, made.user_id)
    assert user.roles == []
    assert links_of(session, user.id) == [], "a password would open nothing yet"
    request = open_request(session, user.id)
    told = select(Notification.user_id).where(Notification.subject_id == request.id)
    assert second.user_id in session.scalars(told).all()
    assert admin.user_id not in session.scalars(told).all()
    with pytest.raises(Forbidden):
        approve_role(session, admin, cipher, request.id)
    assert user.roles == []
    approve_role(session, second, cipher, request.id)
    assert [(held.role, held.granted_by) for held in user.roles] == [(role, second.user_id)]
    assert len(links_of(session, user.id)) == 1
    assert session.get_one(RoleVersion, (user.id, 2)).reason == "começa em dezembro"
    with pytest.raises(Conflict):
        approve_role(session, second, cipher, request.id)


def test_security_35_the_database_refuses_one_person_too(session: Session, cipher: FieldCipher, admin: Actor) -> None:
    request = open_request(session, invite(session, admin, cipher, "DOCTOR").user_id)
    statement = text(
        "UPDATE role_requests SET outcome = 'approved', decided_at = now(), decided_by = :me WHERE id = :id"
    )
    with pytest.raises(IntegrityError, match="two_people"):
        session.execute(statement, {"me": admin.user_id, "id": request.id})


def test_security_35_nobody_acts_on_themselves(
    session: Session, cipher: FieldCipher, admin: Actor, second: Actor
) -> None:
    me = admin.user_id
    for act in (
        lambda: request_role(session, admin, cipher, me, role="AUDITOR", reason="porque sim"),
        lambda: remove_role(session, admin, cipher, me, role="ADMIN", reason="porque sim"),
        lambda: enable_user(session, admin, cipher, me, reason="porque sim"),
        lambda: reset_password(session, admin, cipher, me, reason="porque sim"),
    ):
        with pytest.raises(Forbidden):
            act()
    request_role(session, second, cipher, me, role="DOCTOR", council="CRM-SP 1234", reason="também é médico")
    request = open_request(session, me)
    with pytest.raises(Forbidden):
        approve_role(session, admin, cipher, request.id)
    with pytest.raises(Forbidden):
        decline_role(session, admin, request.id, reason="não")


def test_security_35_only_administrators_at_a_browser(session: Session, cipher: FieldCipher, cast: Cast) -> None:
    for actor in (in_session(cast.doctor.actor), in_session(cast.auditor.actor), cast.admin.actor):
        for act in (
            lambda actor=actor: invite(session, actor, cipher, "RECEPTION"),
            lambda actor=actor: request_role(session, actor, cipher, cast.nurse.id, role="AUDITOR", reason="x"),
            lambda actor=actor: remove_role(session, actor, cipher, cast.nurse.id, role="NURSE", reason="x"),
            lambda actor=actor: approve_role(session, actor, cipher, new_id()),
            lambda actor=actor: decline_role(session, actor, new_id(), reason="x"),
            lambda actor=actor: enable_user(session, actor, cipher, cast.nurse.id, reason="x"),
            lambda actor=actor: reset_password(session, actor, cipher, cast.nurse.id, reason="x"),
        ):
            with pytest.raises(Forbidden):
                act()


def test_a_declined_role_is_not_granted_and_may_be_asked_for_again(
    session: Session, cipher: FieldCipher, admin: Actor, second: Actor
) -> None:
    made = invite(session, admin, cipher, "NURSE", council="COREN-SP 654321")
    with pytest.raises(Conflict):
        request_role(session, second, cipher, made.user_id, role="NURSE", reason="de novo")
    request = open_request(session, made.user_id)
    with pytest.raises(Invalid):
        decline_role(session, second, request.id, reason="  ")
    decline_role(session, second, request.id, reason="não a conheço")
    assert session.get_one(User, made.user_id).roles == []
    told = select(Notification.kind).where(Notification.user_id == admin.user_id, Notification.subject_id == request.id)
    assert session.scalars(told).all() == ["role.declined"]
    assert not request_role(session, admin, cipher, made.user_id, role="NURSE", reason="com documentos")


def test_what_a_removed_role_opened_ends_and_does_not_come_back_with_it(
    databases: Databases, cipher: FieldCipher, admin: Actor
) -> None:
    person = make_person(databases, Role.RECEPTION, "Bia Rocha")
    with databases.session(Principal.ANONYMOUS) as session:
        opened = start_session(session, Origin(), person.id, Role.RECEPTION).session_id
    with databases.session(Principal.STAFF) as session:
        remove_role(session, admin, cipher, person.id, role="RECEPTION", reason="mudou de setor")
        assert request_role(session, admin, cipher, person.id, role="RECEPTION", reason="voltou")
    with databases.session(Principal.STAFF) as session:
        assert session.get_one(SessionRow, opened).ended_because == "role removed"
        assert session.get_one(ApiToken, person.token_id).revoked_at is not None


def test_security_35_one_active_admin_stays(fresh_databases: Databases, cipher: FieldCipher) -> None:
    emails = ["first@example.org", "second@example.org"]
    with fresh_databases.session(Principal.STAFF) as session:
        first, second = (
            create_user(session, SYSTEM, cipher, email=email, full_name="A", roles=["ADMIN"]).user_id
            for email in emails
        )
    actor = Actor(user_id=first, role=Role.ADMIN, name="A")
    with fresh_databases.session(Principal.STAFF) as session:
        remove_role(session, actor, cipher, second, role="ADMIN", reason="férias")
        # Whom the other removed a moment ago still had a session.
        with pytest.raises(Conflict):
            remove_role(session, replace(actor, user_id=second), cipher, first, role="ADMIN", reason="vingança")
        with pytest.raises(Conflict):
            disable_user(session, replace(actor, user_id=second), cipher, email=emails[0], reason="vingança")


def test_disabling_states_why_and_enabling_again_brings_the_roles_back(
    session: Session, cipher: FieldCipher, admin: Actor, databases: Databases
) -> None:
    person = make_person(databases, Role.NURSE, "Caio Lima")
    with pytest.raises(Invalid):
        disable_user(session, admin, cipher, email=person.email)
    disable_user(session, admin, cipher, email=person.email, reason="saiu da clínica")
    with pytest.raises(Conflict):
        request_role(session, admin, cipher, person.id, role="AUDITOR", reason="x")
    with pytest.raises(Invalid):
        enable_user(session, admin, cipher, person.id, reason="")
    user = enable_user(session, admin, cipher, person.id, reason="voltou à clínica")
    assert user.disabled_at is None
    assert [held.role for held in user.roles] == ["NURSE"]
    assert session.get_one(ApiToken, person.token_id).revoked_at is not None
    with pytest.raises(Conflict):
        enable_user(session, admin, cipher, person.id, reason="de novo")


def test_a_password_that_is_reset_takes_the_tokens_with_it(
    databases: Databases, cipher: FieldCipher, admin: Actor
) -> None:
    """And each is an event; somebody who never chose a password just gets their invitation again."""
    person = make_person(databases, Role.DOCTOR, "Rita Prado")
    with databases.session(Principal.STAFF) as session:
        session.get_one(User, person.id).password_changed_at = datetime.now(UTC)
    invited = make_person(databases, Role.DOCTOR, "Nova Aqui")
    with databases.session(Principal.STAFF) as session:
        for who in (person, invited):
            reset_password(session, admin, cipher, who.id, reason="perdeu o celular")
    with databases.session(Principal.STAFF) as session:
        assert session.get_one(ApiToken, person.token_id).revoked_at is not None
        assert session.get_one(ApiToken, invited.token_id).revoked_at is None
        assert session.get_one(User, person.id).version == 3, "one version for each change"
    with databases.session(Principal.WORKER) as session:
        ours = AuditOutbox.entity_id.in_([person.token_id, person.id, invited.token_id])
        query = select(AuditOutbox.action).where(ours)
        assert list(session.scalars(query.order_by(AuditOutbox.id))) == ["user.reset_password", "token.revoke"]
    assert find_token(databases, person.token) is None
    assert find_token(databases, invited.token) is not None


def test_a_second_link_withdraws_the_first_and_disabling_all(
    session: Session, cipher: FieldCipher, admin: Actor
) -> None:
    made = invite(session, admin, cipher, "AUDITOR")
    reset_password(session, admin, cipher, made.user_id, reason="o e-mail não chegou")
    first, newest = links_of(session, made.user_id)
    assert first.withdrawn_at is not None
    assert (newest.withdrawn_at, newest.kind) == (None, "invitation")
    disable_user(session, admin, cipher, email=session.get_one(User, made.user_id).email, reason="engano")
    session.expire_all()
    assert all(link.withdrawn_at is not None for link in links_of(session, made.user_id))


@pytest.mark.parametrize(
    ("roles", "values", "pointers"),
    [
        ((), {}, ["/roles"]),
        (("PATIENT",), {}, ["/roles"]),
        (("OWNER",), {}, ["/roles"]),
        (("DOCTOR",), {"council": None}, ["/council"]),
        (("DOCTOR",), {"council": "COREN-SP 654321"}, ["/council"]),
        (("NURSE",), {"council": "CRM-SP 123456"}, ["/council"]),
        (("RECEPTION",), {"council": "CRM-XX 1"}, ["/council"]),
        (("RECEPTION",), {"cpf": "11111111111"}, ["/cpf"]),
    ],
)
def test_an_invitation_that_makes_no_sense_is_refused(
    session: Session, cipher: FieldCipher, admin: Actor, roles: tuple[str, ...], values: dict[str, str | None],
    pointers: list[str],
) -> None:  # fmt: skip
    with pytest.raises(Invalid) as caught:
        invite(session, admin, cipher, *roles, **values)
    assert [error.pointer for error in caught.value.errors] == pointers


def test_security_35_a_cpf_has_one_account(session: Session, cipher: FieldCipher, admin: Actor) -> None:
    cpf = make_cpf()
    made = invite(session, admin, cipher, "RECEPTION", cpf=cpf)
    with pytest.raises(Invalid) as caught:
        invite(session, admin, cipher, "AUDITOR", cpf=f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}")
    assert [error.pointer for error in caught.value.errors] == ["/cpf"]
    kept = session.execute(text("SELECT cpf_index FROM users WHERE id = :id"), {"id": made.user_id}).scalar_one()
    assert kept == cipher.blind_index("cpf", cpf)


def test_unknown_users_and_requests(session: Session, cipher: FieldCipher, admin: Actor) -> None:
    for act in (
        lambda: request_role(session, admin, cipher, new_id(), role="AUDITOR", reason="x"),
        lambda: approve_role(session, admin, cipher, new_id()),
        lambda: enable_user(session, admin, cipher, new_id(), reason="x"),
    ):
        with pytest.raises(NotFound):
            act()


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("crm/sp 123.456", "CRM-SP 123456"),
        ("CRM-RJ 52123", "CRM-RJ 52123"),
        ("COREN-SP 654321-ENF", "COREN-SP 654321-ENF"),
        ("COREN SP 123.456-te", "COREN-SP 123456-TE"),
        ("CRM-ZZ 123456", None),
        ("CRM-SP", None),
        ("CRM-SP 12345678", None),
        ("123456", None),
        ("CRM-SP ١٢٣٤", None),
    ],
)
def test_council_numbers(typed: str, kept: str | None) -> None:
    assert normal_council(typed) == kept
