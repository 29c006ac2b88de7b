"""An exported trail is verified without the system, by the public key alone."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config import Principal, Settings
from models.engine import Databases
from services.audit_checkpoint import public_key, signer_of, write_checkpoint
from services.audit_file import FORMAT, write_file
from services.audit_report import Report
from services.audit_verify import verify, verify_files
from services.errors import Invalid
from tests.audit.trail import as_superuser, drain_all, write_events

pytestmark = pytest.mark.database
EVENTS = 40


@pytest.fixture
def anchored(trail: Databases, trail_settings: Settings, tmp_path: Path) -> Path:
    """A file with the checkpoint of a sealed trail."""
    write_events(trail, EVENTS)
    drain_all(trail, limit=7)
    with trail.session(Principal.WORKER) as session:
        note = write_checkpoint(session, signer_of(trail_settings))
    file = tmp_path / "checkpoint"
    file.write_text(note, encoding="utf-8")
    return file


@pytest.fixture
def exported(anchored: Path, trail_settings: Settings, tmp_path: Path) -> Path:
    file = tmp_path / "trail"
    assert write_file(trail_settings, file) == EVENTS
    return file


def check(file: Path, settings: Settings, checkpoint: Path | None = None) -> Report:
    return verify_files([file], [public_key(settings)], checkpoint=checkpoint)


def kinds(report: Report) -> list[tuple[str, int]]:
    return [(problem.kind, problem.sequence) for problem in report.problems]


@pytest.mark.parametrize("name", ["trail", "trail.gz"])
def test_what_was_exported_verifies_and_is_anchored(
    anchored: Path, trail_settings: Settings, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    write_file(trail_settings, file)
    assert (file.read_bytes()[:2] == b"\x1f\x8b") is name.endswith(".gz")
    report, here = check(file, trail_settings, anchored), verify(trail_settings, checkpoint=anchored)
    assert report.is_intact and here.is_intact
    assert (report.events, report.proven, report.head, report.head_hash, report.anchored, report.unanchored) == (
        here.events, here.proven, here.head, here.head_hash, EVENTS, 0,
    )  # fmt: skip


def test_the_export_is_an_event_and_replaces_no_file(
    exported: Path, trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    with as_superuser(superuser) as connection:
        waiting = connection.execute("SELECT action, actor_role FROM audit_outbox").fetchall()
    assert waiting == [("trail.export", "SYSTEM")]
    with pytest.raises(Invalid, match="exists"):
        write_file(trail_settings, exported)
    assert not list(exported.parent.glob("*.partial"))


def test_security_29_a_line_that_was_edited_deleted_or_put_in_is_named(
    exported: Path, anchored: Path, trail_settings: Settings
) -> None:
    lines = exported.read_bytes().splitlines(keepends=True)
    cases = {
        (("changed", 7),): [*lines[:7], lines[7].replace(b"success", b"failure"), *lines[8:]],
        (("missing", 7),): [*lines[:7], *lines[8:]],
        (("missing", 31),): lines[:31],
        (("inserted", 7),): [*lines[:8], lines[7], *lines[8:]],
        (("changed", 7), ("unlinked", 8)): [*lines[:7], b"nothing of the kind\n", *lines[8:]],
    }
    for expected, changed in cases.items():
        exported.write_bytes(b"".join(changed))
        assert tuple(kinds(check(exported, trail_settings, anchored)))[: len(expected)] == expected


def test_security_29_a_beginning_that_was_cut_off_is_named(
    exported: Path, anchored: Path, trail_settings: Settings
) -> None:
    lines = exported.read_bytes().splitlines(keepends=True)
    first = f"{FORMAT} 10 {lines[9][:64].decode()}\n".encode()
    exported.write_bytes(b"".join([first, *lines[10:]]))
    assert kinds(check(exported, trail_settings, anchored)) == [("missing", 1)]
    exported.write_bytes(b"".join([f"{FORMAT} 1 {'1' * 64}\n".encode(), *lines[1:]]))
    with pytest.raises(Invalid, match=FORMAT):
        check(exported, trail_settings, anchored)


def test_only_who_exported_it_may_read_the_export(exported: Path) -> None:
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600


def test_security_29_a_trail_hashed_anew_is_not_what_was_signed(
    exported: Path, anchored: Path, trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    """Another trail, sound in itself and as long, with the checkpoint of the first."""
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE audit_trail, audit_outbox, audit_checkpoints, audit_tree_nodes")
    write_events(trail, EVENTS)
    drain_all(trail)
    other = exported.with_name("other")
    write_file(trail_settings, other)
    assert check(other, trail_settings).is_intact
    assert kinds(check(other, trail_settings, anchored)) == [("checkpoint", EVENTS)]


@given(data=st.data())
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_security_29_no_changed_byte_goes_unnoticed(
    exported: Path, anchored: Path, trail_settings: Settings, data: st.DataObject
) -> None:
    content = bytearray(gzip.decompress(_kept(exported)))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    exported.write_bytes(bytes(content))
    try:
        report = check(exported, trail_settings, anchored)
    except Invalid:
        return
    assert not report.is_intact


def _kept(exported: Path) -> bytes:
    """The export as it was first, whatever examples before this one wrote over it."""
    kept = exported.with_name("kept")
    if not kept.exists():
        kept.write_bytes(gzip.compress(exported.read_bytes()))
    return kept.read_bytes()


def test_what_is_no_export_is_said(exported: Path, anchored: Path, trail_settings: Settings) -> None:
    packed = gzip.compress(exported.read_bytes())
    for content, said in (
        (b"", FORMAT), (b"hello\n", FORMAT), (b"\xff\xfe", FORMAT), (packed[:-20], "breaks off"),
        (packed[:200] + b"????" + packed[204:], "damaged"),
    ):  # fmt: skip
        exported.write_bytes(content)
        with pytest.raises(Invalid, match=said):
            check(exported, trail_settings, anchored)
    with pytest.raises(Invalid, match="--key"):
        verify_files([exported], [], checkpoint=anchored)
