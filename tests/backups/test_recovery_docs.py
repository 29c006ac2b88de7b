"""What a clinic does on its worst day is written in docs/disaster-recovery.md: its commands and settings are the
programs' own, and none shows a password."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from cli import main
from config import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "disaster-recovery.md").read_text()
DEPLOY = ROOT / "deploy" / "postgres"
BLOCKS = re.findall(r"^ *```(?:sh)?\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
# Of other programs, and of scripts beside PostgreSQL.
OTHERS = {
    "PGPASSWORD", "PGPASSFILE", "PGBACKREST_REPO1_CIPHER_PASS", "BASE_BACKUP_AT", "SIGILO_HOME", "CREATEDB",
    "DATABASE_URL", "DPO",
}  # fmt: skip


def commands() -> list[str]:
    inline = re.findall(r"`(sigilo [^`]+)`", PAGE)
    return [line.strip() for block in BLOCKS for line in block.splitlines() if line.strip()] + inline


@pytest.mark.parametrize("line", [each for each in dict.fromkeys(commands()) if each.startswith("sigilo")])
def test_a_command_is_the_programs_own(line: str) -> None:
    words = shlex.split(line.replace("…", "x"), comments=True)[1:]
    words = words[: words.index(">")] if ">" in words else words
    command: click.Command = main
    while isinstance(command, click.Group):
        assert words, f"{line}: no command"
        name = words.pop(0)
        assert name in command.commands, line
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options, line


def test_no_command_shows_a_password() -> None:
    assert len(commands()) > 20
    for line in commands():
        assert "$(" not in line, f"{line}: what a command prints stands in the arguments of another"
        for url in re.findall(r"postgresql://[^\s\"`]+", line):
            assert ":" not in url.removeprefix("postgresql://").partition("@")[0], line


def test_what_runs_beside_postgresql_is_there() -> None:
    files = r"`(base-backup|keep-archive|note-archive|[\w-]+\.service|pg_\w+\.conf|pgbackrest\.conf)"
    named = set(re.findall(files, PAGE))
    assert {"base-backup", "keep-archive", "sigilo-archive.service", "pg_hba.conf"} <= named
    assert {name for name in named if not (DEPLOY / name).exists()} == set()


def test_a_setting_is_one_and_every_one_of_backups_is_told_of() -> None:
    fields = {name.upper() for name in Settings.model_fields}
    named = set(re.findall(r"`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)", PAGE))
    assert named - fields - OTHERS == set()
    everywhere = PAGE + (ROOT / "README.md").read_text()
    ours = {name for name in fields if name.startswith(("BACKUP_", "DRILL_"))}
    told = {name for name in ours if name in everywhere or f"`_{name.rpartition('_')[2]}`" in everywhere}
    assert ours - told == set()
