"""One whole installation of production, with a backup that a drill restored, TLS in front and a mail server beside."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.controller import Controller
from click.testing import CliRunner, Result
from pyrage import x25519

import cli
from embedded import load_baseline
from embedded.preflight.check import Outcome, State
from embedded.preflight.checklist import CHECKS
from embedded.preflight.ground import Given, Ground
from embedded.preflight.reused import checks
from tests.factories.certificate import make_certificate
from tests.installation import FOREIGN, RUN, Installation, free_port
from tests.load.results import make_result
from tests.preflight.front import Front, Spoilt, front

OPERATOR = "operacao@clinica.example"
HOST = "ok firewall: ports 22, 80 and 443 alone\nok ssh: keys alone\n"


@dataclass
class Inbox:
    """``taken``: recipients of what came; ``refusal``: said to every recipient instead."""

    taken: list[str] = field(default_factory=list)
    refusal: str = ""

    async def handle_RCPT(self, _s: Any, _n: Any, envelope: Any, address: str, _o: Any) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _s: Any, _n: Any, envelope: Any) -> str:
        self.taken += envelope.rcpt_tos
        return "250 OK"


@dataclass
class Place:
    """Where preflight is run: the installation, what stands around it, and files that an operator would bring."""

    installation: Installation
    front: Front
    inbox: Inbox
    folder: Path
    settings: dict[str, str]  # that an operator's shell has, too

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.front.server_address[1]}"

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    @cached_property
    def _superuser_url(self) -> str:
        return self.installation.sigilo("db", "url").stdout.strip()

    def query(self, statement: str) -> tuple[Any, ...] | None:
        """As superuser, behind everybody's back."""
        with psycopg.connect(self._superuser_url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchone() if cursor.description else None

    def look(self, name: str, url: str | None = None, **given: Any) -> Outcome:
        """One check by its name, as a run of its own would make it."""
        found = next(check for check in (*checks(), *CHECKS) if check.name == name)
        return found.run(Ground(self.url if url is None else url, os.environ, Given(**given)))

    def preflight(self, *arguments: str) -> Result:
        return CliRunner().invoke(cli.main, ["preflight", *arguments])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("preflight")
    key, certificate = make_certificate(90)
    (folder / "server.pem").write_text(key + certificate)
    (folder / "trusted.pem").write_text(certificate)
    inbox, mail = Inbox(), free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=mail)
    controller.start()
    made = Installation(folder)
    settings = {
        "SIGILO_ENV": "production", "PUBLIC_URL": "https://clinica.example",
        "SMTP_URL": f"smtp://127.0.0.1:{mail}?tls=none&from=sigilo@clinica.example",
        "BACKUP_AGE_RECIPIENT": str(x25519.Identity.generate().to_public()),
    }  # fmt: skip
    try:
        size = {"SIGILO_DEMO_PATIENTS": "20", "SIGILO_DEMO_RECORDS": "60"}
        made.start(RUN, TRUSTED_PROXIES="127.0.0.1", **size, **settings)
        done = made.sigilo("backup", "create", **settings)
        assert done.returncode == 0, done.stderr
        with front(made.port, folder / "server.pem") as server:
            yield Place(made, server, inbox, folder, settings)
    finally:
        controller.stop()
        made.remove()


@pytest.fixture
def place(running: Place) -> Iterator[Place]:
    """As an operator's shell on that machine, with nothing spoilt; what a test changes in it is undone."""
    before = dict(os.environ)
    for name in [name for name in os.environ if FOREIGN.match(name)]:
        del os.environ[name]
    trusted = {"SSL_CERT_FILE": str(running.folder / "trusted.pem")}
    os.environ |= running.installation.environment | running.settings | trusted
    running.front.spoilt = Spoilt()
    try:
        yield running
    finally:
        running.front.spoilt = Spoilt()
        running.inbox.refusal = ""
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def load_result(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A result of ``make load`` as good as the baseline, with changes."""
    monkeypatch.setattr(load_baseline, "BASELINE", place.file("baseline.json", json.dumps(make_result())))

    def make(**changes: Any) -> Path:
        return place.file("load-result.json", json.dumps(make_result(**changes)))

    return make


def failing(outcome: Outcome, *words: str) -> bool:
    """Whether it failed and says all of ``words``; the assertion shows it otherwise."""
    assert outcome.state is State.FAIL, outcome
    missing = [word for word in words if word not in outcome.text]
    assert not missing, outcome
    return True
