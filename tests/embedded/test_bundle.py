"""``sigilo doctor --bundle FILE``: diagnostics that tell nothing about anybody, or none."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import cli
from config import Settings
from models import Role
from models.engine import Databases
from tests.embedded.test_cli import environment, served
from tests.factories.cast import make_cpf, make_patient, make_person
from tests.factories.dead_letter import make_dead_letter

__all__ = ["environment", "served"]

CPF = make_cpf()
LINE = '{"level":"info","event":"request","route":"/api/me","status":200,"durationMs":3.2}\n'


@pytest.fixture(scope="module", autouse=True)
def people(databases: Databases, settings: Settings) -> None:
    make_patient(
        databases, settings, "Aldegunda Recônditos de Souza", cpf=CPF, passport="FN738291",
        mother_name="Zulmira Escondida Prates",
        email="aldegunda@escondida.example", phone="(11) 97654-3210",
    )  # fmt: skip
    make_person(databases, Role.ADMIN, "Teobaldo Encoberto")


def write(file: Path, *logs: Path) -> Result:
    return CliRunner().invoke(
        cli.main, ["doctor", "--bundle", str(file), *(part for log in logs for part in ("--log", str(log)))]
    )


def read(file: Path) -> dict[str, str]:
    with tarfile.open(file) as archive:
        entries = ((entry.name.removeprefix("sigilo-doctor/"), archive.extractfile(entry)) for entry in archive)
        return {name: opened.read().decode() for name, opened in entries if opened is not None}


def test_a_bundle_says_how_the_installation_stands(
    served: Settings, databases: Databases, tmp_path: Path
) -> None:
    log, file = tmp_path / "web.log", tmp_path / "bundle.tar.gz"
    log.write_text(LINE * 800)
    make_dead_letter(databases)
    result = write(file, log)
    assert result.exit_code == 0, result.output
    assert file.stat().st_mode & 0o777 == 0o600
    contents = read(file)
    said: dict[str, Any] = {name: json.loads(text) for name, text in contents.items() if name.endswith(".json")}
    assert said["about.json"]["version"] and said["about.json"]["packages"]["Flask"]
    assert {"PostgreSQL", "Redis", "Schema"} <= {each["name"] for each in said["doctor.json"]}
    assert said["settings.json"]["secret_key"] == "set" and said["settings.json"]["smtp_url"] == "not set"
    assert said["settings.json"]["sigilo_env"] == "development"
    assert "patients" in {each["name"] for each in said["tables.json"]}
    assert "error" in said["failed_work.json"][0] and "arguments" not in said["failed_work.json"][0]
    assert set(said["redis.json"]["waiting"]) >= {"audit", "default"}
    assert contents["logs/0.log"] == LINE * 500, "the last lines, and not the file's name"
    everything = "".join(contents.values())
    for secret in (served.secret_key, served.field_key, served.audit_signing_key, served.database_url_migrator):
        assert secret.get_secret_value() not in everything


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("seen: Aldegunda Recônditos de Souza", "a name"), ("ALDEGUNDA RECONDITOS", "a name"),
        ("mother=zulmira escondida", "a name"), ("by Teobaldo Encoberto", "a name"),
        ("to Aldegunda@Escondida.example", "an e-mail address"), (f"cpf={CPF}", "a CPF"),
        (f"{CPF[:3]}.{CPF[3:6]}.{CPF[6:9]}-{CPF[9:]}", "a CPF"), (f"7 {CPF} 2026-11-26", "a CPF"),
        (f"cpf_{CPF}", "a CPF"), ("passport=FN738291", "a passport"), ("call 11 97654-3210", "a phone number"),
        ("(11) 97654-3210", "a phone number"), ("+55 11 97654-3210", "a phone number"),
        ("+5511976543210", "a phone number"),
        (f"sgl_{'x' * 43}", "a token or key"),
    ],
    ids=lambda each: re.sub(r"\d", "0", each),  # a CPF is another one in every process that collects
)  # fmt: skip
def test_a_bundle_that_tells_of_somebody_is_deleted_and_says_only_where(
    served: Settings, tmp_path: Path, planted: str, said: str
) -> None:
    log, file = tmp_path / "web.log", tmp_path / "bundle.tar.gz"
    log.write_text(f"{LINE}{planted}\n{LINE}")
    result = write(file, log)
    assert result.exit_code == 1
    assert f"{said} in sigilo-doctor/logs/0.log" in result.output
    assert planted not in result.output and CPF not in result.output
    assert not file.exists()


@pytest.mark.parametrize("name", ["secret_key", "field_key", "audit_signing_key", "smtp_url"])
def test_a_bundle_with_a_secret_of_the_settings_is_deleted(
    served: Settings, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", "smtp://clinic:jabuticaba%21madura@mail.example.org?from=a@example.org")
    log, file = tmp_path / "web.log", tmp_path / "bundle.tar.gz"
    planted = "jabuticaba!madura" if name == "smtp_url" else getattr(served, name).get_secret_value()
    log.write_text(f"Traceback: {planted}\n")
    result = write(file, log)
    assert result.exit_code == 1
    assert "a secret of the settings in sigilo-doctor/logs/0.log" in result.output
    assert not file.exists()


def test_a_number_that_is_nobodys_is_no_reason_to_refuse(served: Settings, tmp_path: Path) -> None:
    log, file = tmp_path / "web.log", tmp_path / "bundle.tar.gz"
    log.write_text(f"bytes={make_cpf()} Aldegunda de Souza Sucupira\n")
    assert write(file, log).exit_code == 0


def test_what_is_there_already_is_left_as_it_is(served: Settings, tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar.gz"
    file.write_text("mine")
    result = write(file)
    assert (result.exit_code, file.read_text()) == (1, "mine")
    assert "File exists" in result.output


def test_without_a_database_nothing_is_in_it_that_would_have_to_be_compared(
    served: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL_MIGRATOR", "postgresql://nobody@127.0.0.1:1/none")
    log, file = tmp_path / "web.log", tmp_path / "bundle.tar.gz"
    log.write_text("Aldegunda Recônditos\n")
    assert write(file, log).exit_code == 0
    assert set(read(file)) == {"about.json", "doctor.json", "settings.json", "redis.json"}
