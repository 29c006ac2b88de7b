"""``sigilo backup``: what it prints, and an exit code that can be trusted."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyrage
import pytest
from click.testing import CliRunner, Result

import cli
from backups.errors import BackupFailed
from backups.job import Connection
from backups.keys import renew
from config import Settings
from tests.backups.processes import environment
from tests.servers import DatabaseServer


@pytest.fixture
def shell(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(here).items():
        monkeypatch.setenv(name, value)


def backup(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["backup", *arguments])


def test_where_nothing_is_drilled_no_backup_is_made_whose_key_would_be_lost(
    shell: None, here: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRILL_KEYS", "off")
    known = "SELECT (SELECT count(*) FROM backups), (SELECT count(*) FROM backup_keys)"
    for command in ("create", "drill", "rotate"):
        refused = backup(command)
        assert refused.exit_code == 1 and "docker compose exec worker-backups" in refused.stderr
        assert connection.execute(known).fetchone() == (0, 0)
    off = here.model_copy(update={"drill_keys": "off"})
    with pytest.raises(BackupFailed, match=r"can't be kept \(DRILL_KEYS is off\)"):
        renew(connection, off)
    assert connection.execute(known).fetchone() == (0, 0) and not Path("off").exists()
    assert backup("list").exit_code == 0


def test_from_creating_to_restoring(
    shell: None, here: Settings, server: DatabaseServer, gone: str, recovery: pyrage.x25519.Identity, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made = backup("create")
    assert made.exit_code == 0, made.output
    found = re.match(r"([0-9a-f-]{36}): \d+ rows of \d+ tables, [\d.]+ MiB stored in", made.stdout)
    assert found is not None and f"{found[1]}: drill passed, restored in" in made.stdout
    listed = backup("list").stdout
    assert found[1] in listed and "VERIFIED" in listed
    assert backup("verify", "latest").exit_code == backup("drill", found[1]).exit_code == 0
    assert backup("prune").stdout == ""
    assert backup("verify", "none-such").exit_code == 1
    identity = tmp_path / "key"
    identity.write_text(str(recovery))
    [manifest] = (here.sigilo_home / "backups").glob("*.manifest")
    url = urlsplit(server.superuser_url(gone))
    into = ("--into", url._replace(netloc=url.netloc.replace(f":{url.password}@", "@")).geturl())
    monkeypatch.setenv("PGPASSWORD", unquote(url.password or ""))
    foreign = tmp_path / "foreign"
    foreign.write_text(str(pyrage.x25519.Identity.generate()))
    refused = backup("restore", str(manifest), *into, "--identity", str(foreign))
    assert refused.exit_code == 1 and "does not open this backup" in refused.stderr
    assert "in `ps`" not in refused.stderr
    seen = backup("restore", str(manifest), "--into", url.geturl(), "--identity", str(foreign))
    assert "does not open this backup" in seen.stderr and "in `ps`" in seen.stderr and "--password-file" in seen.stderr
    restored = backup("restore", str(manifest), *into, "--identity", str(identity))
    assert restored.exit_code == 0, restored.output
    assert restored.stdout.endswith(f"rows restored as {gone}\n")
    assert "keys.env" in restored.stderr and "sign in again" in restored.stderr
    again = backup("restore", "latest", *into, "--identity", str(identity))
    assert again.exit_code == 1 and "is not empty" in again.stderr


def test_keys_are_printed_and_rotated(shell: None) -> None:
    made = backup("keygen")
    assert made.stdout.splitlines()[1].startswith("AGE-SECRET-KEY-1")
    assert made.stderr.startswith("BACKUP_AGE_RECIPIENT=age1")
    assert "/backup+" in backup("key").stdout
    assert backup("rotate").stdout.startswith("age1") and backup("rotate").exit_code == 0
