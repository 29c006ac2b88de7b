"""What an installation shows of itself, to look for secrets in: command lines, logs, answers, what commands say."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import redis
from psycopg import sql

from config import Principal
from tests.installation import Installation

CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
LOOK_EVERY_SECONDS = 0.1
WRONG = "a-recognisable-password-that-opens-nothing-31f7"
PAGES = ("/login", "/", "/patients", "/system", "/no/such/page", "/readyz", "/metrics", "/api/health")


@contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """Those of every process of this machine that ran meanwhile for longer than a moment: what ``ps`` shows to all."""
    seen: set[bytes] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_EVERY_SECONDS):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(file.read_bytes())
                except OSError:
                    continue  # it has ended

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


@dataclass
class Traces:
    """What was seen, by where."""

    installation: Installation
    texts: list[tuple[str, str]] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.installation.port}"

    def visit(self, client: httpx.Client, when: str) -> None:
        """Every page, and the API with a token that is none."""
        answers = [client.get(self.url + path) for path in PAGES]
        answers.append(client.get(f"{self.url}/api/patients", headers={"Authorization": f"Bearer {WRONG}"}))
        answers.append(client.post(f"{self.url}/login", data={"email": "a@example.org", "password": WRONG}))
        for answer in answers:
            self.statuses.add(answer.status_code)
            self.texts.append((f"{when}: {answer.request.url}", f"{answer.headers} {answer.text}"))

    def sign_in(self, client: httpx.Client, email: str, password: str) -> None:
        form = CSRF.search(client.get(f"{self.url}/login").text)
        assert form is not None
        sent = {"csrf_token": form[1], "email": email, "password": password}
        assert client.post(f"{self.url}/login", data=sent).status_code == 303

    def command(self, *arguments: str, **variables: str) -> str:
        """What a command says, which is kept. Gives its output."""
        done = self.installation.sigilo(*arguments, **variables)
        self.texts.append((" ".join(arguments), done.stdout + done.stderr))
        return done.stdout

    def logs(self) -> None:
        self.texts.append(("output", self.installation.said))
        for file in self.installation.home.path.rglob("*.log*"):
            self.texts.append((str(file), file.read_text(errors="replace")))

    def where(self, secret: str) -> list[str]:
        return [place for place, text in self.texts if secret in text]


def change_role_passwords(superuser: str, passwords: dict[str, str]) -> None:
    """And end the roles' connections, so that the next ones need them."""
    with psycopg.connect(superuser, autocommit=True) as connection:
        for role, password in passwords.items():
            altered = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
            connection.execute(altered)
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY(%s)", [list(passwords)]
        )


@contextmanager
def wrong_database_passwords(installation: Installation) -> Iterator[None]:
    secrets = installation.home.secrets
    superuser = (secrets / "database_url_superuser").read_text().strip()
    right = {each.role: (secrets / f"{each.role}_password").read_text().strip() for each in Principal}
    change_role_passwords(superuser, dict.fromkeys(right, WRONG))
    try:
        yield
    finally:
        change_role_passwords(superuser, right)


@contextmanager
def wrong_redis_password(installation: Installation) -> Iterator[None]:
    secrets = installation.home.secrets
    client = redis.Redis.from_url((secrets / "redis_url").read_text().strip())
    client.config_set("requirepass", WRONG)
    client.client_kill_filter(_type="normal", skipme=True)
    try:
        yield
    finally:
        client.config_set("requirepass", (secrets / "redis_password").read_text().strip())
        client.close()
