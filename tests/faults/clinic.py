"""A whole running installation to break, with somebody who writes in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil
import psycopg

from config import decode_key
from embedded.home import Home
from embedded.process import wait_until
from embedded.supervisor import answers_ready
from services.signed_note import Signer, VerifierKey
from tests.faults.caller import Caller
from tests.faults.ledger import check_ledger
from tests.installation import Installation

PLENTY = "1000000/minute"
DOCTOR = "doctor@clinica.example"
WEB, AUDIT_WORKER, SCHEDULER = "granian", "--queues audit", "scheduler"
BACK_SECONDS = 60.0


@dataclass
class Clinic:
    """One installation, with what to ask it and what to check in it."""

    installation: Installation
    url: str  # of the database, as superuser
    key: VerifierKey
    token: str
    author: uuid.UUID
    patient_id: str
    since: datetime

    def caller(self) -> Caller:
        return Caller(f"http://127.0.0.1:{self.installation.port}", self.token)

    @contextmanager
    def superuser(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            yield connection

    def check(self, *callers: Caller) -> int:
        """``check_ledger`` of everything that ``callers`` sent."""
        with self.superuser() as connection:
            return check_ledger(
                connection, self.url, self.key, author=self.author, since=self.since,
                answered=[each for caller in callers for each in caller.answered],
                unanswered=[each for caller in callers for each in caller.unanswered],
            )  # fmt: skip

    def kill(self, words: str) -> int:
        """kill -9 of a child of the supervisor and everything below it, as the kernel does when memory runs out.
        Gives its process id, for ``until_it_is_back``."""
        victim = self.installation.child(words)
        for process in [*victim.children(recursive=True), victim]:
            with suppress(psutil.NoSuchProcess):  # ended by itself since
                process.kill()
        return int(victim.pid)

    def until_it_is_back(self, words: str, killed: int) -> None:
        assert wait_until(lambda: self.installation.has_child(words, other_than=killed), BACK_SECONDS)

    def members(self, words: str) -> list[psutil.Process]:
        victim = self.installation.child(words)
        return [victim, *victim.children(recursive=True)]

    def until_it_answers(self) -> None:
        assert wait_until(lambda: answers_ready(self.installation.port), BACK_SECONDS), self.installation.said


def make_clinic(installation: Installation, **variables: str) -> Clinic:
    """Start ``installation`` with ``variables``; whoever made it removes it."""
    # Request ids of the caller's own are taken from a proxy alone.
    installation.start(None, TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT_ANONYMOUS=PLENTY, **variables)
    token = installation.sigilo("token", "create", "--email", DOCTOR, "--quota", PLENTY, **variables)
    url = installation.sigilo("db", "url", "--role", "superuser", **variables).stdout.strip()
    patient = Caller(f"http://127.0.0.1:{installation.port}", token.stdout.strip()).send(
        "POST", "/api/patients", {"fullName": "Paciente das Falhas", "sex": "UNKNOWN"}
    )
    assert patient is not None
    assert patient.status_code == 201, patient.text
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT id, now() FROM users WHERE email = %s", (DOCTOR,)).fetchone()
    assert row is not None
    return Clinic(
        installation, url, _key_of(installation.home), token.stdout.strip(), row[0], patient.json()["id"], row[1]
    )


def _key_of(home: Home) -> VerifierKey:
    return Signer("clinic", decode_key((home.secrets / "audit_signing_key").read_text().strip())).own_key
