"""What is sealed is signed within a minute, and the places outside of the database get it, however often they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import Settings
from models.engine import Databases
from services.audit_checkpoint import UNSIGNED, Checkpoint, public_key
from services.checkpoint_deliver import OWED
from services.job_schedule import VERIFY
from services.signed_note import VerifierKey
from tasks import runtime
from tasks.audit import TrailBroken
from tests.audit.trail import as_superuser, sealed, write_events
from tests.integrations.fake_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, fake_s3
from tests.integrations.test_checkpoint_sinks import witness
from tests.tasks.test_base import app

__all__ = ["app"]


@pytest.fixture
def environment(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("kept")
    return environment | {"CHECKPOINT_SINKS": f"file://{folder}", "PUBLIC_URL": "https://clinic.example.org"}


def rows(superuser: str, statement: str) -> list[tuple[Any, ...]]:
    with as_superuser(superuser) as connection:
        return connection.execute(statement).fetchall()


def test_everything_sealed_is_signed_and_kept_elsewhere(
    app: Any, work_databases: Databases, environment: dict[str, str], superuser: str, work_settings: Settings
) -> None:
    """By the drain itself when the last checkpoint is a while ago, else by the look that is taken once a minute."""
    assert rows(superuser, f"SELECT {UNSIGNED}") == [(False,)]
    write_events(work_databases, 10)
    app.tasks["audit.drain"]()
    assert rows(superuser, "SELECT sequence FROM audit_checkpoints") == [(10,)]
    write_events(work_databases, 20)
    app.tasks["audit.drain"]()
    assert rows(superuser, f"SELECT {UNSIGNED}") == [(True,)]
    app.tasks["audit.checkpoint"]()
    assert rows(superuser, f"SELECT {UNSIGNED}") == [(False,)]
    assert rows(superuser, f"SELECT count(*) FROM checkpoint_sinks WHERE {OWED}") == [(1,)]
    assert app.tasks["mail.checkpoints"]() == 1
    assert rows(superuser, f"SELECT count(*) FROM checkpoint_sinks WHERE {OWED}") == [(0,)]
    folder = environment["CHECKPOINT_SINKS"].removeprefix("file://")
    [(name, sequence, failure)] = rows(superuser, "SELECT name, sequence, failure FROM checkpoint_sinks")
    assert (name, sequence, failure) == (f"file://{folder}", 30, None)
    [file] = Path(folder).rglob("*.checkpoint")
    key = VerifierKey(VerifierKey.parse(public_key(work_settings)).public)  # under the name of any installation
    kept = Checkpoint.open(file.read_text(encoding="utf-8"), [key])
    assert (kept.sequence, kept.hash) == (30, bytes(sealed(superuser)[-1]["hash"]))


def test_security_29_a_trail_signed_anew_is_told_by_the_folder_that_has_the_first(
    app: Any, work_databases: Databases, environment: dict[str, str], superuser: str
) -> None:
    sealed_and_signed(app, work_databases)
    app.tasks["mail.checkpoints"]()
    assert app.tasks[VERIFY]() == 8
    forget_the_trail(superuser)
    sealed_and_signed(app, work_databases)
    with pytest.raises(TrailBroken):
        app.tasks[VERIFY]()
    assert app.tasks["mail.checkpoints"]() == 0
    [(failure,)] = rows(superuser, "SELECT failure FROM checkpoint_sinks")
    assert failure == "has another checkpoint of the same event"


def test_security_29_a_trail_signed_anew_is_told_by_the_bucket_though_all_in_it_was_deleted(
    app: Any, work_databases: Databases, environment: dict[str, str], superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_s3() as bucket:
        keys = {"S3_ENDPOINT_URL": bucket.url, "S3_REGION": REGION, "S3_ACCESS_KEY_ID": ACCESS_KEY}
        for name, value in (keys | {"S3_SECRET_ACCESS_KEY": SECRET_KEY}).items():
            monkeypatch.setenv(name, value)
        use(monkeypatch, f"s3://{BUCKET}/kept")
        sealed_and_signed(app, work_databases)
        assert app.tasks["mail.checkpoints"]() == 1
        assert rows(superuser, "SELECT name, sequence FROM checkpoint_sinks") == [(f"s3://{BUCKET}/kept", 8)]
        assert app.tasks[VERIFY]() == 8
        for key in bucket.versions:
            bucket.lay(key, None)
        forget_the_trail(superuser)
        sealed_and_signed(app, work_databases)
        with pytest.raises(TrailBroken):
            app.tasks[VERIFY]()
        assert app.tasks["mail.checkpoints"]() == 0
        assert rows(superuser, "SELECT failure FROM checkpoint_sinks") == [
            ("has another checkpoint of the same event",)
        ]


def test_what_cannot_be_compared_with_the_outside_is_not_called_intact(
    app: Any, work_databases: Databases, environment: dict[str, str], superuser: str
) -> None:
    """A folder that is away; and one where somebody laid a higher number over ours, which hides nothing."""
    write_events(work_databases, 8)
    app.tasks["audit.drain"]()
    app.tasks["mail.checkpoints"]()
    [kept] = Path(environment["CHECKPOINT_SINKS"].removeprefix("file://")).rglob("*.checkpoint")
    noise = kept.with_name("9" * 15 + ".checkpoint")
    noise.write_text("a note of nobody")
    assert app.tasks[VERIFY]() == 8
    noise.unlink()
    kept.rename(kept.with_suffix(".away"))
    with pytest.raises(TrailBroken):
        app.tasks[VERIFY]()
    assert rows(superuser, "SELECT kind FROM audit_findings") == [("unanchored",)]
    kept.with_suffix(".away").rename(kept)
    assert app.tasks[VERIFY]() == 8
    assert rows(superuser, "SELECT kind FROM audit_findings") == []


def test_nobody_elses_checkpoint_is_sent_anywhere(
    app: Any, work_databases: Databases, environment: dict[str, str], superuser: str
) -> None:
    write_events(work_databases, 3)
    app.tasks["audit.drain"]()
    with as_superuser(superuser) as connection:
        connection.execute(
            "INSERT INTO audit_checkpoints (sequence, hash, note) VALUES (999999, sha256('x'), 'a note of nobody')"
        )
        connection.execute("UPDATE checkpoint_sinks SET next_attempt_at = now()")
    assert app.tasks["mail.checkpoints"]() == 1
    assert rows(superuser, "SELECT sequence FROM checkpoint_sinks") == [(3,)]
    write_events(work_databases, 3)
    app.tasks["audit.drain"]()
    app.tasks["audit.checkpoint"]()
    assert rows(superuser, "SELECT count(*) FROM audit_checkpoints") == [(3,)], "signing goes on"


def test_a_place_that_fails_is_tried_again_later_and_owed_the_newest_alone(
    app: Any, work_databases: Databases, environment: dict[str, str], superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times are moved on instead of waited for."""
    with witness() as server:
        use(monkeypatch, f"{server.url}/503")
        for count in (5, 7):
            write_events(work_databases, count)
            app.tasks["audit.drain"]()
            app.tasks["audit.checkpoint"]()
            assert app.tasks["mail.checkpoints"]() == 0
            state = rows(superuser, "SELECT attempts, sequence, failure, next_attempt_at > now() FROM checkpoint_sinks")
            assert state == [(1 if count == 5 else 2, None, "answered 503", True)]
            with as_superuser(superuser) as connection:
                connection.execute("UPDATE checkpoint_sinks SET next_attempt_at = now()")
        [(name,)] = rows(superuser, "SELECT name FROM checkpoint_sinks")
        assert name.startswith("http://127.0.0.1:") and "503" not in name
        server.taken.clear()
        use(monkeypatch, f"{server.url}/204")  # the same host, another path: another place
        app.tasks["audit.checkpoint"]()
        assert app.tasks["mail.checkpoints"]() == 1
        [(_, _, note)] = server.taken
        assert note.split("\n")[1] == "12"
        assert rows(superuser, "SELECT sequence, attempts, failure FROM checkpoint_sinks") == [(12, 0, None)]


def sealed_and_signed(app: Any, databases: Databases) -> None:
    write_events(databases, 8)
    app.tasks["audit.drain"]()
    app.tasks["audit.checkpoint"]()


def forget_the_trail(superuser: str) -> None:
    """As whoever has the whole database can, before another trail is laid."""
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE audit_trail, audit_outbox, audit_checkpoints, audit_tree_nodes")
        connection.execute("UPDATE checkpoint_sinks SET sequence = NULL, delivered_at = NULL, next_attempt_at = now()")


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CHECKPOINT_SINKS", url)
    runtime.databases().dispose()
    runtime._opened.cache_clear()
