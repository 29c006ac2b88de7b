"""The fixed cast of authorization tests, as healthchecks has it: everybody who could be asking.

``doctor`` and ``nurse`` are on the care team of ``patient``; ``doctor2`` and ``nurse2`` are on nobody's;
``patient`` is a patient of ``doctor`` who can sign in; ``stranger`` another patient who can sign in.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, update

from config import Principal, Settings
from models import ApiToken, BreakGlassGrant, CareTeamMember, Patient, Role, User, UserRole, UserVersion, new_id
from models.engine import Databases
from services.actor import Actor
from services.field_encryption import field_cipher
from services.permissions import scopes_of

PLENTY = "1000000/minute"
PATIENTS = {"patient": "Conceição Ávila", "stranger": "João Estranho da Silva"}
USERS = {
    "doctor": (Role.DOCTOR, "Ana Moura"), "doctor2": (Role.DOCTOR, "Paulo Reis"), "nurse": (Role.NURSE, "Rita Prado"),
    "nurse2": (Role.NURSE, "Caio Lima"), "reception": (Role.RECEPTION, "Bia Rocha"),
    "admin": (Role.ADMIN, "Davi Nunes"), "auditor": (Role.AUDITOR, "Eva Torres"),
    "patient": (Role.PATIENT, "Conceicao Avila"), "stranger": (Role.PATIENT, "Joao Estranho"),
}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Somebody of the cast: the actor they are, and a bearer token that may do all their role may."""

    actor: Actor
    email: str
    token: str
    token_id: uuid.UUID

    @property
    def id(self) -> uuid.UUID:
        return self.actor.user_id

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True)
class Cast:
    doctor: Person
    doctor2: Person
    nurse: Person
    nurse2: Person
    reception: Person
    admin: Person
    auditor: Person
    patient: Person
    stranger: Person
    people: dict[str, Person] = field(default_factory=dict)

    @property
    def patient_id(self) -> uuid.UUID:
        """The patient of ``doctor``."""
        assert self.patient.actor.patient_id is not None
        return self.patient.actor.patient_id

    @property
    def stranger_id(self) -> uuid.UUID:
        """A patient with an empty care team."""
        assert self.stranger.actor.patient_id is not None
        return self.stranger.actor.patient_id


def make_person(
    databases: Databases, role: Role, name: str, *, patient_id: uuid.UUID | None = None, quota: str = PLENTY,
    scopes: list[str] | None = None, password_hash: str | None = None,
) -> Person:  # fmt: skip
    """A user holding ``role``, with a token."""
    user_id, token_id = new_id(), new_id()
    email = f"{name.lower().replace(' ', '.')}.{user_id.hex[-12:]}@example.org"
    council = {Role.DOCTOR: "CRM-SP 123456", Role.NURSE: "COREN-SP 654321"}.get(role)
    secret = f"sgl_{secrets.token_urlsafe(32)}"
    granted = scopes if scopes is not None else sorted(scopes_of(role))
    with databases.session(Principal.MIGRATOR) as session:
        session.add(
            User(
                id=user_id, email=email, full_name=name, council=council, patient_id=patient_id,
                password_hash=password_hash,
            )
        )  # fmt: skip
        session.flush()
        session.execute(insert(UserRole), [{"user_id": user_id, "role": role.value}])
        session.execute(
            insert(UserVersion), [{"user_id": user_id, "version": 1, "content": {"fullName": name}, "changed_by": None}]
        )
        session.add(
            ApiToken(
                id=token_id, user_id=user_id, name="tests", secret_hash=hashlib.sha256(secret.encode()).digest(),
                acting_role=role.value, scopes=granted, quota=quota, expires_at=datetime.now(UTC) + timedelta(days=1),
            )
        )  # fmt: skip
    actor = Actor(
        user_id=user_id, role=role, name=name, council=council, patient_id=patient_id,
        scopes=frozenset(granted), token_id=token_id,
    )  # fmt: skip
    return Person(actor=actor, email=email, token=secret, token_id=token_id)


def make_patient(databases: Databases, settings: Settings, name: str = "Paciente de Teste", **values: Any) -> uuid.UUID:
    """A patient row (no version row, no event), with an audit key. ``cpf`` and ``cns`` are encrypted."""
    cipher = field_cipher(settings)
    patient_id = new_id()
    documents: dict[str, Any] = {}
    for kind in ("cpf", "cns", "passport"):
        value = values.pop(kind, None)
        if value is not None:
            documents[f"{kind}_cipher"] = cipher.encrypt(value, patient_id)
            documents[f"{kind}_index"] = cipher.blind_index(kind, value)
    with databases.session(Principal.STAFF) as session:
        session.add(
            Patient(
                **{
                    "id": patient_id, "full_name": name, "sex": "UNKNOWN",
                    "audit_key_cipher": cipher.encrypt_bytes(secrets.token_bytes(32), patient_id),
                }
                | documents | values
            )
        )  # fmt: skip
    return patient_id


def join_team(databases: Databases, patient_id: uuid.UUID, user_id: uuid.UUID, origin: str = "ADDED") -> None:
    with databases.session(Principal.STAFF) as session:
        session.add(CareTeamMember(patient_id=patient_id, user_id=user_id, origin=origin))


def make_cast(databases: Databases, settings: Settings) -> Cast:
    """Everybody, with the patients' rows and the care team that the class describes."""
    own = make_patient(
        databases, settings, PATIENTS["patient"], cpf=make_cpf(), cns="700000000000005", phone="11 5555-0101"
    )
    other = make_patient(databases, settings, PATIENTS["stranger"], cpf=make_cpf(), birth_date=None)
    rows = {"patient": own, "stranger": other}
    people = {
        who: make_person(databases, role, name, patient_id=rows.get(who)) for who, (role, name) in USERS.items()
    }
    join_team(databases, own, people["doctor"].id, "RESPONSIBLE")
    join_team(databases, own, people["nurse"].id)
    with databases.session(Principal.STAFF) as session:
        patient = session.get_one(Patient, own)
        patient.responsible_id = people["doctor"].id
    return Cast(**people, people=people)


def as_made(databases: Databases, cast: Cast) -> None:
    """Nobody but its doctor and nurse is inside the patient's care team, whatever modules before this one did."""
    with databases.session(Principal.STAFF) as session:
        session.execute(
            update(CareTeamMember)
            .where(CareTeamMember.patient_id == cast.patient_id, CareTeamMember.removed_at.is_(None))
            .where(CareTeamMember.user_id.not_in([cast.doctor.id, cast.nurse.id]))
            .values(removed_at=func.now())
        )
    end_grants(databases, cast.patient_id)


def end_grants(databases: Databases, patient_id: uuid.UUID) -> None:
    """Whoever broke the glass of the patient is outside again."""
    with databases.session(Principal.STAFF) as session:
        session.execute(
            update(BreakGlassGrant)
            .where(BreakGlassGrant.patient_id == patient_id, BreakGlassGrant.expires_at > func.now())
            .values(expires_at=func.now())
        )


def make_cpf() -> str:
    """A valid CPF, eleven digits, different at every call."""
    digits = [secrets.randbelow(10) for _ in range(9)]
    if len(set(digits)) == 1:
        digits[0] = (digits[0] + 1) % 10
    for length in (10, 11):
        total = sum(weight * digit for weight, digit in zip(range(length, 1, -1), digits, strict=True))
        digits.append(total * 10 % 11 % 10)
    return "".join(map(str, digits))
