"""Who works and comes here: accounts of the load's own, as an administrator would have made them."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from config import Principal, Settings
from embedded.installation import session_as
from models import CareTeamMember, Role, User, new_id
from services.audit_event import SYSTEM
from services.field_encryption import FieldCipher, field_cipher
from services.password import hash_password
from services.token_create import create_token
from services.user_create import add_user

# Of a hundred. ``doctor2`` is in nobody's care team; ``integrator`` is a program with a doctor's token.
SHARES = {
    "doctor": 28, "nurse": 16, "patient": 14, "reception": 12, "doctor2": 10, "integrator": 8, "auditor": 6, "admin": 6,
}  # fmt: skip
ROLES = {
    "doctor": Role.DOCTOR, "doctor2": Role.DOCTOR, "integrator": Role.DOCTOR, "nurse": Role.NURSE,
    "reception": Role.RECEPTION, "auditor": Role.AUDITOR, "admin": Role.ADMIN, "patient": Role.PATIENT,
}  # fmt: skip
COUNCILS = {Role.DOCTOR: "CRM-SP 9100{0:02}", Role.NURSE: "COREN-SP 9911{0:02}"}  # beyond those that were given out
TEAM, NURSE_TEAM = 20, 40  # patients of each
QUOTA = "600/minute"  # of a program
PATIENTS = text("""
    SELECT p.id::text, p.full_name FROM patients p
    WHERE p.deleted_at IS NULL AND p.birth_date IS NOT NULL AND p.social_name IS NULL  -- whom one asks for by name
        AND NOT EXISTS (SELECT FROM visits v WHERE v.patient_id = p.id AND v.status IN ('WAITING', 'IN_CARE'))
        AND NOT EXISTS (SELECT FROM users u WHERE u.patient_id = p.id)
        AND EXISTS (SELECT FROM medical_records r WHERE r.patient_id = p.id AND r.deleted_at IS NULL)
    ORDER BY p.id
""")


@dataclass(frozen=True, slots=True)
class Person:
    """``role`` as in SHARES; ``patients``: ids of those they treat, or of the one they are; ``address``: where they
    sit, for a quota that counts by address."""

    role: str
    user_id: str
    email: str
    password: str
    address: str
    patients: tuple[str, ...] = ()
    token: str = ""


def shares_of(count: int) -> dict[str, int]:
    """How many of each role among ``count``: at least one, doctors making up for what rounding leaves. Raises
    ValueError for fewer people than roles."""
    if count < len(SHARES):
        raise ValueError(f"LOAD_USERS is at least {len(SHARES)}: one of each role")
    shares = {role: max(1, count * share // 100) for role, share in SHARES.items()}
    while sum(shares.values()) > count:
        shares[max(shares, key=lambda role: shares[role])] -= 1
    shares["doctor"] += count - sum(shares.values())
    return shares


def make_people(settings: Settings, count: int) -> tuple[list[Person], dict[str, str]]:
    """``count`` people with their care teams and tokens, and the names of the patients whom they see, by id. One
    transaction; they have one password, which is hashed once."""
    password = secrets.token_urlsafe(15)
    hashed, cipher = hash_password(password), field_cipher(settings)
    with session_as(settings, Principal.STAFF) as session:
        names: dict[str, str] = dict(session.execute(PATIENTS).tuples().all())
        free = iter(names)
        made = [
            _make(session, cipher, role, number, password, hashed, free)
            for role, share in shares_of(count).items()
            for number in range(share)
        ]
        treated = [patient for person in made if person.role == "doctor" for patient in person.patients]
        people = [_with_team(session, cipher, person, treated) for person in made]
    return people, names


def _make(
    session: Session, cipher: FieldCipher, role: str, number: int, password: str, hashed: str, free: Iterator[str]
) -> Person:
    """The account; patients and doctors take those whom nobody has yet."""
    held = ROLES[role]
    wanted = {"patient": 1, "doctor": TEAM, "integrator": TEAM}.get(role, 0)
    own = tuple(islice(free, wanted))
    if len(own) < wanted:
        raise ValueError("the made-up clinic has too few patients for so many people")
    council = COUNCILS.get(held)
    offset = {"doctor2": 40, "integrator": 60}.get(role, 0)
    user = User(
        id=new_id(), email=f"carga.{role}.{number}@clinica.example", full_name=f"Carga {role} {number}",
        council=council.format(number + offset) if council else None, password_hash=hashed,
        password_changed_at=datetime.now(UTC), must_change_password=False,
        patient_id=uuid.UUID(own[0]) if role == "patient" else None,
    )  # fmt: skip
    add_user(session, SYSTEM, cipher, user, [held])
    index = list(SHARES).index(role)
    return Person(role, str(user.id), user.email, password, f"10.0.{index}.{number + 1}", own)


def _with_team(session: Session, cipher: FieldCipher, person: Person, treated: Sequence[str]) -> Person:
    """On the care teams of their patients, nurses on those of doctors; and with a token, for a program."""
    if person.role == "nurse":
        first = int(person.address.rpartition(".")[2]) * NURSE_TEAM // 2 % max(1, len(treated) - NURSE_TEAM)
        patients = tuple(treated[first : first + NURSE_TEAM])
    else:
        patients = person.patients
    if person.role != "patient" and patients:
        session.execute(
            insert(CareTeamMember),
            [
                {
                    "id": new_id(), "patient_id": uuid.UUID(patient), "user_id": uuid.UUID(person.user_id),
                    "origin": "ADDED", "added_at": datetime.now(UTC),
                }
                for patient in patients
            ],
        )  # fmt: skip
    token = ""
    if person.role == "integrator":
        made = create_token(
            session, SYSTEM, cipher, email=person.email, name="load", quota=QUOTA, lifetime=timedelta(days=1)
        )
        token = made.secret
    return Person(person.role, person.user_id, person.email, person.password, person.address, patients, token)
