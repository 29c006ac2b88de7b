"""Which database a restore goes to, and that its password is in no process list."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from backups.errors import BackupFailed
from backups.target import restore_target
from tests.servers import DatabaseServer

OWN = "postgresql://owner:of-the-tests@db.example:5432/sigilo?sslmode=require"
PASSWORD = "of: the/tests@alone"
HIDING = """
import sys
from cli_arguments import hide_argument
print(hide_argument(sys.argv[1]), hide_argument(sys.argv[1] + "?"), sys.argv[1])
print(open("/proc/self/cmdline").read().replace("\\0", " "))
"""


def own() -> str:
    return OWN


@pytest.fixture
def address(server: DatabaseServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a login of this test's own is asked for its password; the URL has none, and the environment neither."""
    for name in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    with psycopg.connect(server.maintenance_url, autocommit=True) as superuser:
        superuser.execute("DROP ROLE IF EXISTS restorer_of_tests")
        superuser.execute(f"CREATE ROLE restorer_of_tests LOGIN PASSWORD '{PASSWORD}'")
    parts = urlsplit(server.maintenance_url)
    return f"postgresql://restorer_of_tests@{parts.netloc.rpartition('@')[2]}/somewhere?{parts.query}"


def test_a_name_alone_is_beside_the_installations_own_and_nothing_is_its_own() -> None:
    assert restore_target(None, own) == OWN
    assert restore_target("sigilo_yesterday", own) == OWN.replace("/sigilo?", "/sigilo_yesterday?")


@pytest.mark.parametrize("into", ["host=db password=geheim dbname=x", "postgresql://a:geheim@db", "a b", "x=", ""])
def test_what_is_no_target_is_refused_and_not_quoted(into: str) -> None:
    with pytest.raises(BackupFailed, match="--into takes") as refused:
        restore_target(into, own)
    assert "geheim" not in refused.value.detail


def test_a_password_comes_from_a_file_the_environment_or_whoever_is_asked(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used(url: str) -> object:
        return conninfo_to_dict(url)["password"]

    assert used(restore_target(address, own, password=PASSWORD)) == PASSWORD
    assert used(restore_target(address, own, ask=lambda: PASSWORD)) == PASSWORD
    with pytest.raises(BackupFailed, match="asks for a password: give a file"):
        restore_target(address, own)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    found = restore_target(address, own)
    assert used(found) == PASSWORD, "pg_restore sees no PGPASSWORD"
    assert found == restore_target(found, own), "one that stands in the URL is taken"
    monkeypatch.setenv("PGPASSWORD", "another")
    with pytest.raises(psycopg.OperationalError):
        restore_target(address, own)


def test_an_argument_is_taken_out_of_the_process_list() -> None:
    secret = f"postgresql://superuser:{quote(PASSWORD, safe='')}@h/x"
    done = subprocess.run(
        [sys.executable, "-c", HIDING, secret, "--replace"], capture_output=True, text=True, check=True
    )
    heard, shown = done.stdout.splitlines()[0], done.stdout.partition("\n")[2]
    assert heard == f"True False {secret}", "what Python was given stays"
    assert secret not in shown and "*" * len(secret) + " --replace" in shown
