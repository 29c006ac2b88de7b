"""``sigilo cid10``, and what the doctor says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
from config import Principal, Settings
from embedded.doctor import examine
from services.cid10_file import CATEGORIES
from services.demo_cid10 import fill_demo_table
from tests.factories.cid10 import write_small


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


def bring(folder: Path) -> Result:
    return CliRunner().invoke(cli.main, ["cid10", "import", str(folder)])


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
