"""What is sealed is signed within a minute, and the places outside of the database get it, however often they fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import Principal, Settings
from models.engine import Databases
from models.user import Role
from services.audit_check_note import last_check
from services.audit_checkpoint import UNSIGNED, Checkpoint, public_key
from services.audit_findings import note_findings, take_note
from services.audit_report import Report, problem_at
from services.checkpoint_deliver import OWED
from services.job_schedule import VERIFY
from services.signed_note import VerifierKey
from tasks import runtime
from tasks.audit import TrailBroken
from tests.audit.tampered import rehash
from tests.audit.trail import as_superuser, sealed, write_events
from tests.factories.cast import make_person
from tests.integrations.fake_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, FakeS3, fake_s3
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


def checked(databases: Databases, settings: Settings) -> tuple[int, int, int]:
    """Newest event, events looked at, and problems, as the last check signed them."""
    keys = [VerifierKey(VerifierKey.parse(public_key(settings)).public)]  # under the name of any installation
    with databases.session(Principal.AUDITOR) as session:
        check = last_check(session, keys)
    assert check is not None
    return check.head, check.events, check.problems


def test_security_29_a_trail_signed_anew_is_told_by_the_folder_that_has_the_first(
    app: Any, work_databases: Databases, environment: dict[str, str], superuser: str, work_settings: Settings
) -> None:
    sealed_and_signed(app, work_databases)
    app.tasks["mail.checkpoints"]()
    assert app.tasks[VERIFY]() == 8
    assert checked(work_databases, work_settings) == (8, 8, 0)
    forget_the_trail(superuser)
    sealed_and_signed(app, work_databases)
    with pytest.raises(TrailBroken):
        app.tasks[VERIFY]()
    assert checked(work_databases, work_settings) == (8, 8, 1)
    assert app.tasks["mail.checkpoints"]() == 0
    [(failure,)] = rows(superuser, "SELECT failure FROM checkpoint_sinks")
    assert failure == "has another checkpoint of the same event"


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_security_29_a_trail_signed_anew_and_handed_over_is_told_by_what_was_kept_before(
    app: Any,
    work_databases: Databases,
    environment: dict[str, str],
    superuser: str,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """The newest outside is the false one then; beside it lie somebody else's, which are nobody's business."""
    with kept_in(place, environment, monkeypatch) as kept:
        sealed_and_signed(app, work_databases)
        assert app.tasks["mail.checkpoints"]() == 1
        [first] = kept.names()
        kept.lay(first.replace("8.", "5."), "of a key that is not ours")
        assert app.tasks[VERIFY]() == 8
        with as_superuser(superuser) as connection:
            connection.execute("UPDATE audit_trail SET action = 'patient.read' WHERE sequence = 3")
            connection.execute("TRUNCATE audit_checkpoints, audit_tree_nodes")
        rehash(superuser)
        sealed_and_signed(app, work_databases)
        assert app.tasks["mail.checkpoints"]() == 1
        [(newest,)] = rows(superuser, "SELECT max(sequence) FROM audit_checkpoints")
        assert rows(superuser, "SELECT sequence FROM checkpoint_sinks") == [(newest,)], "the false one is outside"
        with pytest.raises(TrailBroken):
            app.tasks[VERIFY]()


class KeptInFolder:
    """Where checkpoints go, and whoever may write there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        return [str(path) for path in self._folder.rglob("*.checkpoint")]

    def lay(self, name: str, body: str | None) -> None:
        Path(name).write_text(body or "")


class KeptInBucket:
    def __init__(self, bucket: FakeS3) -> None:
        self._bucket = bucket

    def names(self) -> list[str]:
        return list(self._bucket.versions)

    def lay(self, name: str, body: str | None) -> None:
        self._bucket.lay(name, None if body is None else body.encode())


@contextmanager
def kept_in(
    place: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[KeptInFolder | KeptInBucket]:
    """Checkpoints go into a folder, or a bucket."""
    if place == "folder":
        yield KeptInFolder(Path(environment["CHECKPOINT_SINKS"].removeprefix("file://")))
        return
    with fake_s3() as bucket:
        keys = {"S3_ENDPOINT_URL": bucket.url, "S3_REGION": REGION, "S3_ACCESS_KEY_ID": ACCESS_KEY}
        for name, value in (keys | {"S3_SECRET_ACCESS_KEY": SECRET_KEY}).items():
            monkeypatch.setenv(name, value)
        use(monkeypatch, f"s3://{BUCKET}/kept")
        yield KeptInBucket(bucket)


def test_security_29_a_trail_signed_anew_is_told_by_the_bucket_though_all_in_it_was_deleted(
    app: Any, work_databases: Databases, environment: dict[str, str], superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kept_in("bucket", environment, monkeypatch) as place:
        sealed_and_signed(app, work_databases)
        assert app.tasks["mail.checkpoints"]() == 1
        assert rows(superuser, "SELECT name, sequence FROM checkpoint_sinks") == [(f"s3://{BUCKET}/kept", 8)]
        assert app.tasks[VERIFY]() == 8
        for name in place.names():
            place.lay(name, None)
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


def test_a_first_check_before_the_first_delivery_finds_nothing_wrong_for_an_hour(
    app: Any, work_databases: Databases, environment: dict[str, str], superuser: str
) -> None:
    sealed_and_signed(app, work_databases)
    assert app.tasks[VERIFY]() == 8
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE audit_checkpoints SET created_at = now() - interval '61 minutes'")
    with pytest.raises(TrailBroken):
        app.tasks[VERIFY]()
    assert app.tasks["mail.checkpoints"]() == 1
    assert app.tasks[VERIFY]() == 8


def test_security_29_an_alarm_that_is_taken_away_is_raised_again(
    app: Any, work_databases: Databases, environment: dict[str, str], superuser: str
) -> None:
    """Deleted, or marked as noted by somebody who did not; what an auditor took note of stays so."""
    auditor = make_person(work_databases, Role.AUDITOR, "Quem Confere")
    with as_superuser(superuser) as connection:
        connection.execute("DELETE FROM audit_alarms")
    sealed_and_signed(app, work_databases)
    app.tasks["mail.checkpoints"]()
    report = Report()
    report.add(problem_at("changed", 7, None))
    with work_databases.session(Principal.WORKER) as session:
        note_findings(session, report)
    app.tasks["audit.drain"]()
    assert app.tasks[VERIFY]() == 9, "an open alarm is no problem by itself"
    [raised] = rows(superuser, "SELECT id FROM audit_alarms WHERE noted_at IS NULL")
    forge = "UPDATE audit_alarms SET noted_at = now(), noted_by = (SELECT id FROM users LIMIT 1), note = 'engano'"
    for statement in ("DELETE FROM audit_alarms", forge):
        with as_superuser(superuser) as connection:
            connection.execute(statement)
        with pytest.raises(TrailBroken):
            app.tasks[VERIFY]()
        assert rows(superuser, "SELECT kind, first FROM audit_findings") == [("alarm", 9)]
        assert len(rows(superuser, "SELECT id FROM audit_alarms WHERE noted_at IS NULL")) == 1
        assert raised in rows(superuser, "SELECT id FROM audit_alarms")
        app.tasks["audit.drain"]()
        assert app.tasks[VERIFY]() > 8, "it is said again"
    with work_databases.session(Principal.AUDITOR) as session:
        take_note(session, replace(auditor.actor, scopes=None), note="Foi uma restauração")
    assert app.tasks[VERIFY]() > 8, "its event waits in the outbox"
    app.tasks["audit.drain"]()
    assert app.tasks[VERIFY]() > 9
    assert rows(superuser, "SELECT id FROM audit_alarms WHERE noted_at IS NULL") == []
    with as_superuser(superuser) as connection:
        connection.execute("DELETE FROM audit_alarms")


@pytest.mark.parametrize("place", ["of another name", "of ours", "an old one", "a folder", "more than are tried"])
def test_security_29_what_lies_higher_hides_nothing_whatever_the_database_says_of_the_place(
    app: Any, work_databases: Databases, environment: dict[str, str], superuser: str, place: str
) -> None:
    """An event changed, the chain made consistent and signed anew, and the row of the place set back to before it."""
    for _ in range(2):
        sealed_and_signed(app, work_databases)
        app.tasks["mail.checkpoints"]()
    first, last = sorted(Path(environment["CHECKPOINT_SINKS"].removeprefix("file://")).rglob("*.checkpoint"))
    higher = last.with_name(f"{999:015}.checkpoint")
    if place == "of another name":
        higher = last.parent.parent / "staging.example.org_audit-chain" / higher.name
        higher.parent.mkdir()
    if place == "a folder":
        higher.mkdir()
    else:
        higher.write_text(first.read_text() if place == "an old one" else "of a key that is not ours")
    if place == "more than are tried":
        for number in range(1000, 1030):
            last.with_name(f"{number:015}.checkpoint").write_text("of a key that is not ours")
    else:
        assert app.tasks[VERIFY]() == 16
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE audit_trail SET action = 'patient.read' WHERE sequence = 12")
        connection.execute("TRUNCATE audit_checkpoints, audit_tree_nodes")
        connection.execute("UPDATE checkpoint_sinks SET sequence = 8")
    rehash(superuser)
    app.tasks["audit.checkpoint"]()
    with pytest.raises(TrailBroken):
        app.tasks[VERIFY]()


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
