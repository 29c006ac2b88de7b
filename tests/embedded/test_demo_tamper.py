"""``sigilo demo tamper``: a sceptic is shown what a superuser can do, and that each of it is found."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import cli
from config import Principal, Settings
from models.engine import Databases
from tests.audit.trail import as_superuser, drain_all, sealed, write_events
from tests.servers import DatabaseServer

SCRATCH = "SELECT count(*) FROM pg_database WHERE datname LIKE 'sigilo_tamper_%'"


@pytest.fixture
def superuser(
    server: DatabaseServer, fresh_database: str, fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The shell names servers of its own, as somebody's who may do everything."""
    url = server.superuser_url(fresh_database)
    for name in ("secret_key", "field_key", "audit_signing_key", "redis_url"):
        monkeypatch.setenv(name.upper(), getattr(fresh_settings, name).get_secret_value())
    for principal in Principal:
        monkeypatch.setenv(f"DATABASE_URL_{principal.value.upper()}", fresh_settings.url_for(principal))
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("SIGILO_ENV", "development")
    monkeypatch.setenv("SIGILO_HOME", str(fresh_settings.sigilo_home))
    return url


def test_every_trick_is_found_and_nothing_stays_behind(superuser: str, fresh_databases: Databases) -> None:
    write_events(fresh_databases, 30)
    drain_all(fresh_databases)
    before = sealed(superuser)
    shown = CliRunner().invoke(cli.main, ["demo", "tamper"])
    assert shown.exit_code == 0, shown.output
    for said in (
        "30 proven, head 30",
        "Event 27 (", "does not match its hash",
        "Evento 27: não é o que foi selado: alterado",
        "Event 27 is missing",
        "Events 28 to 30 are missing: known by a signed checkpoint",
        "The checkpoint given of event 30 has another hash",
        "All of it was found",
    ):  # fmt: skip
        assert said in shown.stdout, said
    assert sealed(superuser) == before
    with as_superuser(superuser) as connection:
        assert connection.execute(SCRATCH).fetchone() == (0,)


def test_it_takes_a_superuser_and_a_trail(
    superuser: str, fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = CliRunner().invoke(cli.main, ["demo", "tamper"])
    assert (empty.exit_code, empty.stdout) == (1, "")
    assert "the trail has fewer than 5 events" in empty.stderr
    monkeypatch.setenv("DATABASE_URL", fresh_settings.url_for(Principal.STAFF))
    refused = CliRunner().invoke(cli.main, ["demo", "tamper"])
    assert refused.exit_code == 1
    assert "takes a superuser" in refused.stderr
    with as_superuser(superuser) as connection:
        assert connection.execute(SCRATCH).fetchone() == (0,)
