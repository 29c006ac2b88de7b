"""``sigilo cid10``, and what the doctor says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
from config import Principal, Settings
from embedded.doctor import examine
from services.cid10_file import CATEGORIES, SUBCATEGORIES
from services.demo_cid10 import fill_demo_table
from tests.factories.cid10 import write_files, write_small


@pytest.fixture
def shell(fresh_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a shell that names the servers."""
    names = [f"database_url_{principal.value}" for principal in Principal]
    given = {
        name.upper(): getattr(fresh_settings, name).get_secret_value()
        for name in ("secret_key", "field_key", "audit_signing_key", "redis_url", *names)
    }
    given |= {"SIGILO_ENV": "development", "SIGILO_HOME": str(fresh_settings.sigilo_home)}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


def bring(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(cli.main, ["cid10", "import", str(folder), *options])


def said_by_the_doctor(shell: dict[str, str]) -> str:
    (finding,) = [each for each in examine(shell) if each.name == "CID-10"]
    assert finding.is_well
    return finding.text


def test_a_table_is_brought_once_and_the_doctor_knows(
    shell: dict[str, str], fresh_settings: Settings, tmp_path: Path
) -> None:
    write_small(tmp_path)
    assert said_by_the_doctor(shell).startswith("no table")
    fill_demo_table(fresh_settings)
    assert said_by_the_doctor(shell).startswith("the demo's few codes, in force since")
    first, second = bring(tmp_path), bring(tmp_path)
    assert (first.exit_code, first.stdout) == (0, "4 subcategories, 3 categories, 5 codes\n"), first.stderr
    assert second.exit_code == 0 and "in force already, nothing was changed" in second.stdout
    assert said_by_the_doctor(shell).startswith("4 subcategories, 3 categories, in force since")


def test_a_part_of_the_table_is_taken_and_said_to_be_that(shell: dict[str, str], tmp_path: Path) -> None:
    write_small(tmp_path)
    warned = bring(tmp_path)
    assert warned.exit_code == 0 and "has 4 rows, not 12451: this is a part of the table." in warned.stderr
    assert "part of the table" not in bring(tmp_path, "--accept-counts").stderr


def test_a_table_that_lost_one_row_is_refused_until_it_is_meant(shell: dict[str, str], tmp_path: Path) -> None:
    write_files(tmp_path)
    path = tmp_path / SUBCATEGORIES
    lines = path.read_bytes().splitlines(keepends=True)
    hole = next(number for number, line in enumerate(lines) if line[4:5] == b";" and line[3:4] == b"5")
    path.write_bytes(b"".join(lines[:hole] + lines[hole + 1 :]))
    refused = bring(tmp_path)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "has 12450 rows, not 12451" in refused.stderr and "--accept-counts" in refused.stderr
    assert said_by_the_doctor(shell).startswith("no table")
    assert bring(tmp_path, "--accept-counts").exit_code == 0


def test_what_is_wrong_is_one_line_and_changes_nothing(shell: dict[str, str], tmp_path: Path) -> None:
    write_small(tmp_path)
    path = tmp_path / CATEGORIES
    path.write_bytes(path.read_bytes().replace(b"A17;+;", b"A17;?;"))
    result = bring(tmp_path)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert f"{CATEGORIES}, line 2: CLASSIF must be + or *, or empty. Nothing was changed." in result.stderr
    assert said_by_the_doctor(shell).startswith("no table")
    missing = bring(tmp_path / "nothing")
    assert missing.exit_code == 2 and "does not exist" in missing.stderr
