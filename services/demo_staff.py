"""Who works at the demo clinic, and the seven demo logins (contract: ``demo-credentials.json``).

Three more doctors and a second nurse have no password: they are there so that not everything belongs to the
doctor who signs in. The council numbers are beyond those that have been given out.
"""

from __future__ import annotations

import random
import secrets
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from models.user import Role
from services.demo_people import past_id
from services.password import hash_password

DOMAIN = "clinica.example"  # RFC 2606: nobody's
PATIENT_LOGIN = "patient"
NO_TEAM = "doctor2"
PASSWORD_BYTES = 15  # twenty characters
HASHING_THREADS = 2


@dataclass(frozen=True)
class Member:
    """Somebody of the staff. ``key`` names the demo login, or tells the others apart."""

    key: str
    role: Role
    name: str
    council: str | None = None
    signs_in: bool = True

    @property
    def email(self) -> str:
        return f"{self.key}@{DOMAIN}"


STAFF = (
    Member("doctor", Role.DOCTOR, "Ana Beatriz Moura Tavares", "CRM-SP 900112"),
    Member(NO_TEAM, Role.DOCTOR, "Paulo Henrique Reis Nogueira", "CRM-SP 900245"),
    Member("nurse", Role.NURSE, "Rita de Cássia Prado", "COREN-SP 990318"),
    Member("admin", Role.ADMIN, "Davi Nunes Ferraz"),
    Member("reception", Role.RECEPTION, "Beatriz Rocha Lima"),
    Member("auditor", Role.AUDITOR, "Eva Torres Salgado"),
    Member("marcelo.watanabe", Role.DOCTOR, "Marcelo Kenji Watanabe", "CRM-SP 900377", signs_in=False),
    Member("luciana.brandao", Role.DOCTOR, "Luciana Farias Brandão", "CRM-SP 900401", signs_in=False),
    Member("jose.pimentel", Role.DOCTOR, "José Carlos Pimentel", "CRM-SP 900598", signs_in=False),
    Member("caio.sampaio", Role.NURSE, "Caio Lima Sampaio", "COREN-SP 990472", signs_in=False),
)
LOGINS = (*(member.key for member in STAFF if member.signs_in), PATIENT_LOGIN)


@dataclass(frozen=True)
class Team:
    """The staff by the part they play in the clinic's year. Doctors without ``doctor2``, ``doctor`` first."""

    doctors: Sequence[uuid.UUID]
    nurses: Sequence[uuid.UUID]
    reception: uuid.UUID


def team_of(ids: dict[str, uuid.UUID]) -> Team:
    """``ids`` is key → user id, of every member of STAFF."""
    return Team(
        doctors=[ids[member.key] for member in STAFF if member.role is Role.DOCTOR and member.key != NO_TEAM],
        nurses=[ids[member.key] for member in STAFF if member.role is Role.NURSE],
        reception=ids["reception"],
    )


def new_ids(rng: random.Random, since: datetime) -> dict[str, uuid.UUID]:
    return {key: past_id(rng, since) for key in (*(member.key for member in STAFF), PATIENT_LOGIN)}


def new_passwords() -> dict[str, str]:
    """Login → a random password; never from the seeded generator."""
    return {key: secrets.token_urlsafe(PASSWORD_BYTES) for key in LOGINS}


def hashed(passwords: dict[str, str]) -> dict[str, str]:
    """Login → argon2id hash. Two at a time: each takes a tenth of a second and 64 MiB."""
    with ThreadPoolExecutor(HASHING_THREADS) as threads:
        return dict(zip(passwords, threads.map(hash_password, passwords.values()), strict=True))
