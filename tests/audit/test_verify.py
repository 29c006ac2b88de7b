"""Verification finds what a superuser did to the trail, and says to which events."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from config import Principal, Settings
from models import new_id
from models.engine import Databases
from services.audit_checkpoint import public_key, signer_of, write_checkpoint
from services.audit_event import EVENT_COLUMNS
from services.audit_report import MOST_NAMED, Report
from services.audit_verify import verify
from services.errors import Conflict, Invalid
from tests.audit.trail import as_superuser, drain_all, sealed, write_events

pytestmark = pytest.mark.database
EVENTS = 24


@pytest.fixture
def sealed_trail(trail: Databases) -> Databases:
    write_events(trail, EVENTS)
    drain_all(trail, limit=7)
    return trail


def tamper(url: str, *statements: str) -> None:
    with as_superuser(url) as connection:
        for statement in statements:
            connection.execute(statement)


def kinds(report: Report) -> list[tuple[str, int, int | None]]:
    return [(problem.kind, problem.sequence, problem.last) for problem in report.problems]


def test_security_29_an_untouched_trail_is_intact(sealed_trail: Databases, trail_settings: Settings) -> None:
    report = verify(trail_settings)
    assert report.is_intact, str(report)
    assert (report.events, report.proven, report.head, report.unanchored) == (EVENTS, EVENTS, EVENTS, EVENTS)
    assert "intact" in str(report)


def test_an_empty_trail_is_intact(trail: Databases, trail_settings: Settings) -> None:
    report = verify(trail_settings)
    assert (report.is_intact, report.events, report.head) == (True, 0, 0)


def test_security_29_an_edited_event_is_named(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    tamper(superuser, "UPDATE audit_trail SET action = 'nothing.happened' WHERE sequence = 7")
    report = verify(trail_settings)
    assert kinds(report) == [("changed", 7, None)]
    assert report.problems[0].event_id == str(sealed(superuser)[6]["id"])
    assert report.proven == EVENTS - 1


def test_security_29_an_edited_hash_is_told_from_edited_content(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    tamper(superuser, "UPDATE audit_trail SET hash = sha256('x') WHERE sequence = 7")
    assert kinds(verify(trail_settings)) == [("rehashed", 7, None)]


def test_security_29_deleted_events_are_named_by_range(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    tamper(superuser, "DELETE FROM audit_trail WHERE sequence IN (1, 5, 6, 7, 20)")
    assert [kind for kind in kinds(verify(trail_settings)) if kind[0] == "missing"] == [
        ("missing", 1, 1), ("missing", 5, 7), ("missing", 20, 20),
    ]  # fmt: skip


def test_security_29_several_edits_are_each_named(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    tamper(superuser, "UPDATE audit_trail SET user_agent = 'curl' WHERE sequence IN (2, 3, 11, 24)")
    report = verify(trail_settings)
    assert [problem.sequence for problem in report.problems] == [2, 3, 11, 24]
    assert report.problem_count == 4


def test_security_29_swapped_events_are_named(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    tamper(
        superuser,
        "UPDATE audit_trail SET sequence = CASE sequence WHEN 4 THEN 9 ELSE 4 END WHERE sequence IN (4, 9)",
    )
    named = {problem.sequence for problem in verify(trail_settings).problems}
    assert {4, 9} <= named <= {4, 5, 9, 10}


COPY_OF = f"""
    INSERT INTO audit_trail (id, sealed_at, sequence, hash, {", ".join(EVENT_COLUMNS[1:])})
    SELECT {{id}}, sealed_at, {{sequence}}, hash, {", ".join(EVENT_COLUMNS[1:])} FROM audit_trail WHERE sequence = 6
"""
LAST, FIRST = "'ffffffff-ffff-7fff-bfff-ffffffffffff'", "'00000000-0000-7000-8000-000000000000'"


@pytest.mark.parametrize("event_id", [FIRST, LAST])
@pytest.mark.parametrize("sequence", [0, 6])
def test_security_29_an_inserted_event_is_named(
    sealed_trail: Databases, trail_settings: Settings, superuser: str, event_id: str, sequence: int
) -> None:
    """Whether it sorts before or after the true one, the true one is still taken as proven."""
    tamper(superuser, "ALTER TABLE audit_trail DROP CONSTRAINT pk_audit_trail")
    try:
        tamper(superuser, COPY_OF.format(id=event_id, sequence=sequence))
        report = verify(trail_settings)
    finally:
        tamper(
            superuser, "TRUNCATE audit_trail",
            "ALTER TABLE audit_trail ADD CONSTRAINT pk_audit_trail PRIMARY KEY (sequence, sealed_at)",
        )  # fmt: skip
    assert kinds(report) == [("inserted", sequence, None)]
    assert report.problems[0].event_id == event_id.strip("'")
    assert report.proven == EVENTS


def test_security_29_time_that_runs_backwards_is_named(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    """An event whose time alone was changed, and hashed anew with everything behind it."""
    tamper(superuser, "UPDATE audit_trail SET sealed_at = sealed_at - interval '1 second' WHERE sequence >= 12")
    rehash(superuser)
    assert kinds(verify(trail_settings)) == [("moved", 12 + number, None) for number in range(EVENTS - 11)]


def rehash(url: str) -> None:
    """What a superuser would do who has read this code: make the chain consistent again."""
    from services.audit_chain import GENESIS, TEXT_SETTINGS, canonical, link, text_columns

    head = GENESIS
    with psycopg.connect(url) as connection:
        connection.execute(TEXT_SETTINGS)
        rows = connection.execute(f"SELECT {text_columns('t')} FROM audit_trail t ORDER BY t.sequence").fetchall()
        for sequence, row in enumerate(rows, 1):
            head = link(head, canonical(row))
            connection.execute("UPDATE audit_trail SET hash = %s WHERE sequence = %s", (head, sequence))


VALUES = {
    "text": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    "uuid": st.uuids(),
    "int4": st.integers(-5, 2**31 - 1),
    "jsonb": st.recursive(st.none() | st.integers() | st.text("ab"), st.lists, max_leaves=3).map(Jsonb),
    "_uuid": st.lists(st.uuids(), max_size=3),
    "inet": st.ip_addresses().map(str),
    "bytea": st.binary(min_size=32, max_size=32),
    "timestamptz": st.sampled_from(["now", "infinity", "2000-02-29 12:00", "0044-03-15 BC", "12000-01-01"]),
}
COLUMN_TYPES = {
    **dict.fromkeys(["action", "outcome", "actor_role", "entity_type", "basis", "user_agent", "request_id"], "text"),
    **dict.fromkeys(["id", "actor_id", "entity_id", "patient_id", "basis_id", "session_id", "token_id"], "uuid"),
    "entity_ids": "_uuid", "from_version": "int4", "to_version": "int4", "changes": "jsonb", "ip": "inet",
    "occurred_at": "timestamptz", "hash": "bytea",
}  # fmt: skip
REQUIRED = {"id", "action", "outcome", "occurred_at", "hash"}
sequences = st.integers(1, EVENTS)


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, int, str, Any]:
    column = draw(st.sampled_from(sorted(COLUMN_TYPES)))
    value = VALUES[COLUMN_TYPES[column]]
    return "edit", draw(sequences), column, draw(value if column in REQUIRED else st.none() | value)


ROWS = "SELECT t::text FROM audit_trail t ORDER BY sequence, id"
tampering = (
    edits()
    | st.tuples(st.just("delete"), sequences)
    | st.tuples(st.just("swap"), st.lists(sequences, min_size=2, max_size=2, unique=True).map(tuple))
    | st.tuples(st.just("insert"), sequences)
    | st.tuples(st.just("reseal"), sequences, st.integers(1, 3000))
)


@pytest.fixture
def note(sealed_trail: Databases, superuser: str, trail_settings: Settings) -> Iterator[Path]:
    """A checkpoint kept elsewhere, and a copy of the trail to restore it from."""
    tamper(superuser, "DROP TABLE IF EXISTS untouched", "CREATE TABLE untouched AS TABLE audit_trail")
    yield checkpoint(trail_settings)
    tamper(superuser, "DROP TABLE untouched")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(act=tampering)
def test_security_29_any_tampering_is_found_with_its_row(
    note: Path, superuser: str, trail_settings: Settings, act: tuple[Any, ...]
) -> None:
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE audit_trail; INSERT INTO audit_trail SELECT * FROM untouched")
        before = connection.execute(ROWS).fetchall()
        touched = carry_out(connection, act)
        is_changed = before != connection.execute(ROWS).fetchall()
    report = verify(trail_settings, checkpoint=note)
    assert report.is_intact is not is_changed, f"{act}\n{report}"
    for sequence in touched if is_changed else ():
        assert any(problem.sequence <= sequence <= (problem.last or problem.sequence) for problem in report.problems), (
            f"{act}: event {sequence} is not named in\n{report}"
        )


# What somebody does who has read this code: several acts, then the chain made whole, and what was signed thrown away.
several = st.tuples(
    st.lists(tampering | st.tuples(st.just("cut"), sequences), min_size=1, max_size=3),
    st.booleans(),  # hashed anew
    st.sampled_from(["kept", "emptied", "cut"]),  # the checkpoints in the database
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(what=several)
def test_security_29_any_tampering_is_found_however_it_is_covered_up(
    note: Path, superuser: str, trail_settings: Settings, what: tuple[list[tuple[Any, ...]], bool, str]
) -> None:
    acts, is_hashed_anew, checkpoints = what
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE audit_trail; INSERT INTO audit_trail SELECT * FROM untouched")
        before = connection.execute(ROWS).fetchall()
        for act in acts:
            carry_out(connection, act)
        is_changed = before != connection.execute(ROWS).fetchall()
        is_empty = connection.execute("SELECT count(*) FROM audit_trail").fetchone() == (0,)
    if is_hashed_anew and not is_empty and is_changed:
        with suppress(ValueError):  # what was written into it is nothing that an event holds, and has no hash
            rehash(superuser)
    tamper(superuser, "CREATE TABLE IF NOT EXISTS signed AS TABLE audit_checkpoints")
    try:
        if checkpoints != "kept":
            tamper(superuser, "DELETE FROM audit_checkpoints" + (" WHERE sequence > 3" if checkpoints == "cut" else ""))
        assert verify(trail_settings, checkpoint=note).is_intact is not is_changed, what
    finally:
        tamper(superuser, "TRUNCATE audit_checkpoints", "INSERT INTO audit_checkpoints SELECT * FROM signed")
        tamper(superuser, "DROP TABLE signed")


def carry_out(connection: psycopg.Connection[Any], act: tuple[Any, ...]) -> set[int]:
    """Tamper as superuser; gives the numbers of the events that were touched."""
    match act:
        case "edit", sequence, column, value:
            statement = sql.SQL("UPDATE audit_trail SET {} = %s WHERE sequence = %s").format(sql.Identifier(column))
            connection.execute(statement, (value, sequence))
            return {sequence}
        case "delete", sequence:
            connection.execute("DELETE FROM audit_trail WHERE sequence = %s", (sequence,))
            return {sequence}
        case "cut", sequence:
            connection.execute("DELETE FROM audit_trail WHERE sequence > %s", (sequence,))
            return set(range(sequence + 1, EVENTS + 1))
        case "swap", (one, other):
            for place, number in ((one, -1), (other, one), (-1, other)):
                connection.execute("UPDATE audit_trail SET sequence = %s WHERE sequence = %s", (number, place))
            return {one, other}
        case "insert", sequence:
            connection.execute(
                "INSERT INTO audit_trail SELECT (jsonb_populate_record(t, jsonb_build_object('id', %s::text, "
                "'sealed_at', t.sealed_at + interval '1 microsecond'))).* FROM audit_trail t WHERE sequence = %s",
                (new_id(), sequence),
            )
            return {sequence}
        case "reseal", sequence, seconds:
            connection.execute(
                "UPDATE audit_trail SET sealed_at = sealed_at + %s * interval '1 second' WHERE sequence = %s",
                (seconds, sequence),
            )
            return {sequence}
    raise AssertionError(act)


def checkpoint(settings: Settings) -> Path:
    """A checkpoint of the present head, kept in a file as an operator would."""
    databases = Databases({each.value: settings.url_for(each) for each in Principal}, pool_size=1)
    path = settings.sigilo_home / "checkpoint.txt"
    with databases.session(Principal.WORKER) as session:
        path.write_text(write_checkpoint(session, signer_of(settings)))
    databases.dispose()
    return path


def test_security_29_a_cut_tail_is_found_by_a_checkpoint(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    note = checkpoint(trail_settings)
    tamper(superuser, "DELETE FROM audit_trail WHERE sequence > 20", "DELETE FROM audit_checkpoints")
    assert verify(trail_settings).is_intact
    report = verify(trail_settings, checkpoint=note)
    assert kinds(report) == [("missing", 21, 24)]
    assert report.anchored is None


def test_security_29_a_cut_tail_is_found_by_a_stored_checkpoint_too(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    checkpoint(trail_settings)
    tamper(superuser, "DELETE FROM audit_trail WHERE sequence > 22")
    assert kinds(verify(trail_settings)) == [("missing", 23, 24)]


def test_security_29_an_emptied_trail_is_found(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    note = checkpoint(trail_settings)
    tamper(superuser, "TRUNCATE audit_trail, audit_checkpoints")
    write_events(sealed_trail, 3)
    drain_all(sealed_trail)
    assert kinds(verify(trail_settings, checkpoint=note)) == [("missing", 4, 24)]


def test_security_29_a_chain_hashed_anew_is_found_by_a_checkpoint(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    note = checkpoint(trail_settings)
    tamper(superuser, "UPDATE audit_trail SET actor_id = NULL WHERE sequence = 3", "DELETE FROM audit_checkpoints")
    rehash(superuser)
    assert verify(trail_settings).is_intact
    assert kinds(verify(trail_settings, checkpoint=note)) == [("checkpoint", EVENTS, None)]


def test_a_head_that_was_signed_with_another_hash_is_not_signed_again(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    first = checkpoint(trail_settings).read_text()
    assert checkpoint(trail_settings).read_text() == first
    tamper(superuser, "UPDATE audit_trail SET actor_id = NULL WHERE sequence = 3")
    rehash(superuser)
    with pytest.raises(Conflict):
        checkpoint(trail_settings)


def test_an_empty_trail_is_not_signed(trail: Databases, trail_settings: Settings) -> None:
    with pytest.raises(Conflict):
        checkpoint(trail_settings)


def test_security_29_what_came_after_the_checkpoint_is_reported_as_not_anchored(
    sealed_trail: Databases, trail_settings: Settings
) -> None:
    note = checkpoint(trail_settings)
    write_events(sealed_trail, 5)
    drain_all(sealed_trail)
    report = verify(trail_settings, checkpoint=note)
    assert report.is_intact
    assert (report.anchored, report.unanchored, report.stored_checkpoints) == (EVENTS, 5, 1)
    assert "5 events are not yet anchored" in str(report)


def test_a_checkpoint_that_was_changed_or_signed_by_others_proves_nothing(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    note = checkpoint(trail_settings)
    tamper(superuser, "DELETE FROM audit_checkpoints")
    lines = note.read_text().splitlines(keepends=True)
    note.write_text("".join([lines[0], "23\n", *lines[2:]]))
    report = verify(trail_settings, checkpoint=note)
    assert [problem.kind for problem in report.problems] == ["checkpoint"]
    assert report.anchored is None


def test_a_checkpoint_table_with_other_content_is_found(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    checkpoint(trail_settings)
    tamper(superuser, "UPDATE audit_checkpoints SET sequence = 10")
    report = verify(trail_settings)
    assert not report.is_intact
    assert {problem.kind for problem in report.problems} == {"checkpoint"}


def test_verification_needs_the_public_key_alone(
    sealed_trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    note = checkpoint(trail_settings)
    stranger = trail_settings.model_copy(update={"audit_signing_key": trail_settings.field_key})
    assert not verify(stranger, checkpoint=note).is_intact
    report = verify(stranger, checkpoint=note, keys=[public_key(trail_settings)])
    assert report.is_intact
    assert report.anchored == EVENTS
    with pytest.raises(Invalid):
        verify(trail_settings, keys=["no+key"])


def test_problems_beyond_the_first_thousand_are_counted(
    trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    write_events(trail, MOST_NAMED + 20)
    drain_all(trail)
    tamper(superuser, "UPDATE audit_trail SET action = 'x'")
    report = verify(trail_settings)
    assert (report.problem_count, len(report.problems)) == (MOST_NAMED + 20, MOST_NAMED)
    assert "and 20 more" in str(report)


def test_progress_is_told(trail: Databases, trail_settings: Settings) -> None:
    write_events(trail, 2_100)
    drain_all(trail)
    told: list[tuple[int, int | None]] = []
    verify(trail_settings, progress=lambda done, total: told.append((done, total)))
    assert told == [(2_000, 2_100)]


def test_security_29_checkpoints_kept_elsewhere_say_between_which_two_it_was_changed(
    sealed_trail: Databases, trail_settings: Settings, superuser: str, tmp_path: Path
) -> None:
    """Although the trail was hashed anew, and what the database had of checkpoints is gone."""
    for number in range(3):
        (tmp_path / f"{number}.checkpoint").write_text(checkpoint(trail_settings).read_text())
        write_events(sealed_trail, 10)
        drain_all(sealed_trail)
    tamper(superuser, "UPDATE audit_trail SET action = 'nothing.happened' WHERE sequence = 30")
    rehash(superuser)
    tamper(superuser, "TRUNCATE audit_checkpoints, audit_tree_nodes")
    report = verify(trail_settings, checkpoint=tmp_path)
    assert kinds(report) == [("checkpoint", 25, 34)]
    assert (report.anchored, report.unanchored) == (24, 30)
    tamper(superuser, "DELETE FROM audit_trail WHERE sequence > 30")
    assert ("missing", 31, 44) in kinds(verify(trail_settings, checkpoint=tmp_path))


def test_security_29_a_replaced_partition_and_checkpoint_table_are_found(
    sealed_trail: Databases, trail_settings: Settings, superuser: str, note: Path, tmp_path: Path
) -> None:
    """A partition put back with other rows, hashed anew, and checkpoints that another key signed."""
    kept = tmp_path / "kept.checkpoint"
    kept.write_text(note.read_text())
    with as_superuser(superuser) as connection:
        row = connection.execute("SELECT tableoid::regclass::text, sealed_at FROM audit_trail LIMIT 1").fetchone()
        assert row is not None
        bounds = connection.execute(
            "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = %s::regclass", (row[0],)
        ).fetchone()
        assert bounds is not None
        for statement in (
            f"CREATE TABLE other (LIKE {row[0]} INCLUDING ALL)",
            f"INSERT INTO other SELECT * FROM {row[0]} WHERE sequence <> 9",
            "UPDATE other SET sequence = sequence - 1 WHERE sequence > 9",
            f"ALTER TABLE audit_trail DETACH PARTITION {row[0]}",
            f"ALTER TABLE audit_trail ATTACH PARTITION other {bounds[0]}",
        ):
            connection.execute(statement)
    try:
        rehash(superuser)
        tamper(superuser, "TRUNCATE audit_checkpoints, audit_tree_nodes")
        other_key = SecretStr(base64.b64encode(bytes(32)).decode())
        stranger = trail_settings.model_copy(update={"audit_signing_key": other_key})
        checkpoint(stranger)
        assert verify(trail_settings).problems[0].kind == "checkpoint"
        report = verify(trail_settings, checkpoint=kept)
        assert not report.is_intact
        assert report.anchored is None
        # Whoever trusts the stranger's key is told by the checkpoint that was kept elsewhere.
        keys = [public_key(stranger), public_key(trail_settings)]
        assert kinds(verify(trail_settings, checkpoint=kept, keys=keys)) == [("missing", 24, 24)]
    finally:
        with as_superuser(superuser) as connection:
            connection.execute("ALTER TABLE audit_trail DETACH PARTITION other")
            connection.execute("DROP TABLE other")
            connection.execute(f"ALTER TABLE audit_trail ATTACH PARTITION {row[0]} {bounds[0]}")
