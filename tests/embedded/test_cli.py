"""The ``sigilo`` command: one line that says what to do, and an exit code that can be trusted."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
import sqlalchemy.exc
from click.testing import CliRunner, Result
from sqlalchemy import delete, select

import cli
import cli_progress
from config import PRODUCT_VERSION, ConfigurationError, Principal, Settings
from embedded.home import Home
from models import ApiToken, AuditOutbox, DeadLetter, new_id
from models.engine import Databases
from services.errors import Conflict, Invalid
from tests.audit.trail import drain_all
from tests.factories.backup import forget_backups
from tests.factories.cast import make_cpf, make_patient
from tests.factories.dead_letter import make_dead_letter

FOREIGN = re.compile(
    r"DATABASE_URL|REDIS_URL|OLLAMA_URL|AI_|SECRET_KEY|FIELD_KEY|AUDIT_SIGNING_KEY|SIGILO_|PUBLIC_URL|PORT"
)


@pytest.fixture
def environment(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A shell in which nothing of Sigilo is set but a home where nothing runs."""
    for name in list(os.environ):
        if FOREIGN.match(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SIGILO_HOME", str(own_home.path))
    return {}


@pytest.fixture
def served(environment: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same shell with the servers of the test run named in it."""
    serve(settings, monkeypatch)
    return settings


def serve(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"database_url_{principal.value}" for principal in Principal]
    for name in ("secret_key", "field_key", "audit_signing_key", "redis_url", *names):
        monkeypatch.setenv(name.upper(), getattr(settings, name).get_secret_value())
    monkeypatch.setenv("SIGILO_ENV", "development")


def sigilo(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, arguments)


def test_help_lists_every_command_of_the_contract() -> None:
    listed = set(re.findall(r"^  ([a-z0-9]+)  ", sigilo("--help").stdout, re.MULTILINE))
    assert listed == {
        "run", "web", "worker", "scheduler", "db", "user", "token", "import", "export", "demo", "audit", "backup",
        "keys", "ai", "cid10", "doctor", "smoke", "preflight",
    }  # fmt: skip
    assert PRODUCT_VERSION in sigilo("--version").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("db", "upgrade"), ("db", "downgrade", "base"), ("db", "url"), ("worker",), ("web",), ("scheduler",),
        ("user", "disable", "--email", "a@example.org"), ("token", "create", "--email", "a@example.org"),
        ("import", "/nonexistent"), ("export", "/tmp/x", "--format", "csv", "--as", "a@example.org"),
        ("backup", "create"), ("backup", "list"), ("backup", "restore", "latest", "--into", "postgresql:///x"),
        ("demo", "seed"), ("audit", "verify"), ("audit", "checkpoint"), ("audit", "prove", "1"),
        ("audit", "export", "/nonexistent/trail"), ("keys", "status"), ("keys", "reencrypt"), ("cid10", "import", "/"),
        ("ai", "pull"), ("ai", "models"), ("ai", "evaluate"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_without_servers_a_command_says_to_start_them(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    result = sigilo(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "start `make run` first" in result.stderr


@pytest.mark.parametrize("port", ["", "http", "0", "70000", "-1"])
def test_port_that_is_none_is_refused(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("PORT", port)
    result = sigilo("run")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "PORT must be a number" in result.stderr


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigurationError("SECRET_KEY is missing"), "SECRET_KEY is missing"),
        (Conflict("Another user has this e-mail."), "Another user has this e-mail."),
        (Invalid.at("/email", "is no address"), "email: is no address"),
        (psycopg.OperationalError("connection failed:\nno such host"), "the database cannot be reached"),
        (
            sqlalchemy.exc.OperationalError("SELECT 'secret'", {}, psycopg.OperationalError("refused")),
            "the database cannot be reached",
        ),
        (
            sqlalchemy.exc.ProgrammingError("SELECT 'secret'", {}, psycopg.errors.UndefinedTable("users")),
            "run `sigilo db upgrade`",
        ),
        (redis.exceptions.ConnectionError("refused"), "Redis cannot be reached"),
        (FileNotFoundError(2, "No such file or directory", "/x"), "/x: No such file or directory"),
        (ValueError("Conceição secret"), "unexpected ValueError"),
    ],
)
def test_error_is_one_line_without_values(error: Exception, line: str) -> None:
    said = cli.one_line(error)
    assert line in said
    assert "\n" not in said
    assert "secret" not in said


def test_url_of_a_role_is_printed_alone(served: Settings) -> None:
    result = sigilo("db", "url", "--role", "patient")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == served.url_for(Principal.PATIENT) + "\n"


def test_upgrade_of_the_newest_schema_changes_nothing(served: Settings) -> None:
    result = sigilo("db", "upgrade")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""


def test_waiting_for_the_schema_ends_when_it_is_there(served: Settings) -> None:
    assert sigilo("db", "wait", "--schema").exit_code == 0


@pytest.mark.parametrize("also", [(), ("--schema",)], ids=["any", "schema"])
def test_waiting_for_a_database_that_is_not_there_ends_with_what_to_check(
    served: Settings, monkeypatch: pytest.MonkeyPatch, also: tuple[str, ...]
) -> None:
    for name in ("DATABASE_URL", "DATABASE_URL_ANONYMOUS"):
        monkeypatch.setenv(name, "postgresql://nobody:secret-word@127.0.0.1:1/nothing")
    waited = sigilo("db", "wait", "--seconds", "1", *also)
    assert waited.exit_code == 1
    assert "does not answer" in waited.stderr and "DATABASE_URL" in waited.stderr
    assert "secret-word" not in waited.output


def test_missing_setting_is_named_when_only_the_database_is_given(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone@/somewhere")
    result = sigilo("db", "upgrade")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "REDIS_URL is missing" in result.stderr


@pytest.fixture
def worker_databases(served: Settings) -> Iterator[Databases]:
    """Without what others left of failed work."""
    made = Databases({Principal.WORKER: served.url_for(Principal.WORKER)})
    forget = delete(DeadLetter)
    with made.session(Principal.WORKER) as session:
        session.execute(forget)
    yield made
    with made.session(Principal.WORKER) as session:
        session.execute(forget)
    made.dispose()


def test_doctor_finds_everything_well(served: Settings, worker_databases: Databases, databases: Databases) -> None:
    forget_backups(databases)  # of other tests
    result = sigilo("doctor")
    assert result.exit_code == 0, result.stdout
    assert "every role connects" in result.stdout
    assert result.stdout.splitlines()[-1] == "14 checks, 0 to fix"


def test_doctor_finds_work_that_failed_for_good(served: Settings, worker_databases: Databases) -> None:
    make_dead_letter(worker_databases)
    result = sigilo("doctor")
    assert result.exit_code == 1
    assert "failed for good and not dealt with: 1; look at /system" in result.stdout


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("REDIS_URL", "redis://127.0.0.1:1/0", "check REDIS_URL"),
        ("DATABASE_URL_WORKER", "postgresql:///x?host=/nonexistent", "check DATABASE_URL"),
        ("SECRET_KEY", "short", "SECRET_KEY is missing or shorter"),
    ],
)
def test_doctor_says_what_to_do(
    served: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    result = sigilo("doctor")
    assert result.exit_code == 1
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert failed
    assert says in failed[0]
    assert "to fix" in result.stdout.splitlines()[-1]


def test_doctor_finds_a_role_that_is_not_its_own(served: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL_PATIENT", served.url_for(Principal.STAFF))
    assert "connects as sigilo_staff: give it the role sigilo_patient" in sigilo("doctor").stdout


def test_doctor_finds_secrets_that_others_may_read(environment: dict[str, str], own_home: Home) -> None:
    own_home.create()
    (own_home.secrets / "field_key").touch(mode=0o644)
    assert "open to other accounts" in sigilo("doctor").stdout


def test_progress_elsewhere_than_on_a_terminal_is_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(cli_progress, "PLAIN_PROGRESS_SECONDS", 0.0)
    with cli_progress.progress_of("Importing") as progress:
        progress(10, 20)
        progress(15, None)
    assert capsys.readouterr().err == "Importing: 10 of 20\nImporting: 15\n"


def test_user_and_token_are_made_audited_and_end_with_the_user(served: Settings, databases: Databases) -> None:
    email = f"nova.medica.{new_id().hex}@example.org"
    made = sigilo(
        "user", "create", "--email", email, "--name", "Nova Médica", "--role", "DOCTOR", "--council", "CRM-SP 99",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    assert len(made.stdout.strip()) >= 12

    token = sigilo(
        "token", "create", "--email", email, "--scope", "records:read", "--quota", "600/minute", "--days", "1"
    )
    assert token.exit_code == 0, token.stderr
    digest = hashlib.sha256(token.stdout.rstrip("\n").encode()).digest()
    with databases.session(Principal.MIGRATOR) as session:
        row = session.scalars(select(ApiToken).where(ApiToken.secret_hash == digest)).one()
        assert (row.scopes, row.quota, row.revoked_at) == (["records:read"], "600/minute", None)

    assert sigilo("user", "disable", "--email", email).exit_code == 0
    with databases.session(Principal.MIGRATOR) as session:
        assert session.get_one(ApiToken, row.id).revoked_at is not None
    with databases.session(Principal.WORKER) as session:
        ours = AuditOutbox.entity_id.in_([row.user_id, row.id])
        actions = set(session.scalars(select(AuditOutbox.action).where(ours)))
    assert actions == {"user.create", "token.create", "user.disable", "token.revoke"}


def test_password_may_come_from_standard_input(served: Settings) -> None:
    arguments = ("user", "create", "--email", f"{new_id().hex}@example.org", "--name", "Ana", "--role", "AUDITOR")
    weak = CliRunner().invoke(cli.main, [*arguments, "--password-stdin"], input="short\n")
    assert weak.exit_code == 1
    assert "short" not in weak.stderr.replace("shorter", "")
    good = CliRunner().invoke(cli.main, [*arguments, "--password-stdin"], input="quatro palavras ao acaso\n")
    assert (good.exit_code, good.stdout) == (0, "")


@pytest.mark.parametrize("arguments", [("--role", "KING"), ("--role", "PATIENT")])
def test_user_that_cannot_be_is_refused_in_one_line(served: Settings, arguments: tuple[str, ...]) -> None:
    result = sigilo("user", "create", "--email", "x@example.org", "--name", "X", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1


def test_token_of_nobody_is_refused(served: Settings) -> None:
    result = sigilo("token", "create", "--email", "nobody@example.org")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no user with this e-mail" in result.stderr


def test_the_trail_is_exported_and_proven_and_checked_with_the_key_alone(
    served: Settings, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain_all(databases)
    checkpoint, exported, proof = tmp_path / "checkpoint", tmp_path / "trail.gz", tmp_path / "proof"
    checkpoint.write_text(sigilo("audit", "checkpoint").stdout, encoding="utf-8")
    key = sigilo("audit", "key").stdout.strip()
    made = sigilo("audit", "export", str(exported))
    assert (made.exit_code, sigilo("audit", "export", str(exported)).exit_code) == (0, 1), made.stderr
    proven = sigilo("audit", "prove", "1")
    assert proven.exit_code == 0, proven.stderr
    proof.write_text(proven.stdout, encoding="utf-8")

    for name in list(os.environ):  # elsewhere, where nothing is known of the installation
        if name.startswith(("DATABASE_URL", "REDIS_URL", "SIGILO_", "SECRET_KEY", "FIELD_KEY", "AUDIT_SIGNING_KEY")):
            monkeypatch.delenv(name)
    checked = sigilo("audit", "check", str(proof), "--key", key)
    assert checked.exit_code == 0, checked.stderr
    assert json.loads(checked.stdout)["sequence"] == 1
    arguments = ("audit", "verify", "--export", str(exported), "--checkpoint", str(checkpoint))
    verified = sigilo(*arguments, "--key", key)
    assert verified.exit_code == 0, verified.stdout + verified.stderr
    assert "The checkpoint holds" in verified.stdout
    stranger = sigilo("audit", "check", str(proof), "--key", "A" * 43 + "=")
    assert (stranger.exit_code, stranger.stdout) == (1, "")
    assert sigilo(*arguments, "--key", "A" * 43 + "=").exit_code == 1


def test_keys_are_made_and_changed_and_one_that_rows_need_stops_the_start(
    fresh_settings: Settings, fresh_databases: Databases, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fresh_settings.field_key.get_secret_value()
    serve(fresh_settings, monkeypatch)
    make_patient(fresh_databases, fresh_settings, cpf=make_cpf())
    new = sigilo("keys", "make").stdout.strip()
    assert len(base64.b64decode(new, validate=True)) == 32

    monkeypatch.setenv("FIELD_KEY", new)
    monkeypatch.setattr("embedded.serving.become", lambda *_: pytest.fail("it was started"))
    for command in ("web", "worker"):
        refused = sigilo(command)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "put the former key back into FIELD_KEY_PREVIOUS" in refused.stderr
    monkeypatch.setenv("FIELD_KEY_PREVIOUS", old)
    before = sigilo("keys", "status")
    assert before.exit_code == 1
    assert re.search(r"^key \d+ \(opens\): 1 patients, 0 versions, 0 accounts$", before.stdout, re.MULTILINE)
    assert "1 rows need a former field key" in sigilo("doctor").stdout

    changed = sigilo("keys", "reencrypt")
    assert (changed.exit_code, changed.stdout) == (0, "1 rows sealed under the current key\n"), changed.stderr
    assert "take it out of FIELD_KEY_PREVIOUS" in changed.stderr
    assert sigilo("keys", "status").exit_code == 0
    assert "nothing is sealed under a key in FIELD_KEY_PREVIOUS" in sigilo("doctor").stdout
    monkeypatch.delenv("FIELD_KEY_PREVIOUS")
    status = sigilo("keys", "status")
    assert re.fullmatch(r"key \d+ \(seals\): 1 patients, 0 versions, 0 accounts\n", status.stdout)
    assert [said for said in (changed, before, status) if new in said.output or old in said.output] == []
