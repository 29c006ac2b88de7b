"""Whatever a superuser does to the trail is found, up to the newest checkpoint that somebody else holds."""

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

from config import Settings
from models import new_id
from models.engine import Databases
from services.audit_checkpoint import public_key
from services.audit_verify import verify
from tests.audit.tampered import EVENTS, checkpoint, kinds, rehash, tamper
from tests.audit.trail import as_superuser, drain_all, write_events

pytestmark = pytest.mark.database

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


# What swapping and resealing change.
BY_OTHER_ACTS = {"sequence": "int8", "sealed_at": "timestamptz"}


def test_every_column_of_the_trail_is_edited(superuser: str) -> None:
    with as_superuser(superuser) as connection:
        columns = connection.execute(
            "SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = 'audit_trail'"
        ).fetchall()
    assert dict(columns) == COLUMN_TYPES | BY_OTHER_ACTS


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
            with suppress(psycopg.errors.UniqueViolation):  # put in twice: the table takes one of them
                carry_out(connection, act)
        is_changed = before != connection.execute(ROWS).fetchall()
        is_empty = connection.execute("SELECT count(*) FROM audit_trail").fetchone() == (0,)
    if is_hashed_anew and not is_empty and is_changed:
        with suppress(ValueError):  # what was written into it is nothing that an event holds, and has no hash
            rehash(superuser)
        with as_superuser(superuser) as connection:  # a changed hash that is made anew is what it was
            is_changed = before != connection.execute(ROWS).fetchall()
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
