"""The database password changes under a running web process, and nobody notices."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from config import Principal, Settings
from tests.factories.cast import Cast
from tests.servers import DatabaseServer
from tests.web.live_server import live_server

pytestmark = pytest.mark.database

OF_SESSIONS = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = %s"


class Login:
    """A login of the installation's own, which may become every role, and the file that its URL lies in."""

    def __init__(self, server: DatabaseServer, database: str, file: Path) -> None:
        self.name = f"sigilo_login_{secrets.token_hex(4)}"
        self.file = file
        self._base = server.superuser_url(database)
        self._maintenance = server.maintenance_url
        roles = sql.SQL(", ").join(sql.Identifier(principal.role) for principal in Principal)
        self.run(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(self.name)))
        self.run(sql.SQL("GRANT {} TO {}").format(roles, sql.Identifier(self.name)))

    def run(self, statement: sql.Composed | str, parameters: tuple[str, ...] = ()) -> None:
        with psycopg.connect(self._maintenance, autocommit=True) as connection:
            connection.execute(statement, parameters)

    def url(self, password: str) -> str:
        parts = urlsplit(self._base)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{self.name}:{quote(password, safe='')}@{host}"))

    def write(self, password: str) -> None:
        self.file.write_text(self.url(password) + "\n")

    def alter(self, password: str) -> None:
        self.run(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(self.name), sql.Literal(password)))

    def close_sessions(self) -> None:
        """As a restart of the server would, so that the next request needs a new connection."""
        self.run(OF_SESSIONS, (self.name,))

    def works_with(self, password: str) -> bool:
        try:
            psycopg.connect(self.url(password), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture
def login(server: DatabaseServer, database: str, tmp_path: Path) -> Iterator[Login]:
    made = Login(server, database, tmp_path / "database_url")
    yield made
    made.close_sessions()
    made.run(sql.SQL("DROP ROLE {}").format(sql.Identifier(made.name)))


def test_the_password_changes_in_the_file_and_then_in_the_server(
    login: Login, settings: Settings, cast: Cast, tmp_path: Path
) -> None:
    first, second = "first " + secrets.token_urlsafe(16), "second " + secrets.token_urlsafe(16)
    login.alter(first)
    login.write(first)
    own = {f"DATABASE_URL_{principal.name}": "" for principal in Principal}
    with live_server(settings, tmp_path, workers=1, DATABASE_URL_FILE=str(login.file), **own) as server:  # type: ignore[arg-type]

        def answers() -> list[int]:
            """Of what uses pooled connections, raw ones, and both principals of an API call."""
            return [
                server.get(path, cast.doctor.headers)[0]
                for path in ("/readyz", "/api/medical-records", "/api/patients", "/api/me")
            ]

        assert answers() == [200] * 4
        login.write(second)
        login.close_sessions()
        assert answers() == [200] * 4, "the file is ahead of the server: the known password is used on"
        login.alter(second)
        login.close_sessions()
        assert answers() == [200] * 4, "the server is with the file: what that says by now is used"
        assert not login.works_with(first)
        assert login.works_with(second)
        log = server.log.read_text()
    assert first not in log and second not in log
