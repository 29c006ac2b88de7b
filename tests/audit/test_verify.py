"""Verification finds what a superuser did to the trail, and says to which events."""

from __future__ import annotations

import pytest

from config import Settings
from models.engine import Databases
from services.audit_checkpoint import public_key
from services.audit_event import EVENT_COLUMNS
from services.audit_report import MOST_NAMED
from services.audit_verify import verify
from services.errors import Conflict, Invalid
from tests.audit.tampered import EVENTS, checkpoint, kinds, rehash, tamper
from tests.audit.trail import drain_all, sealed, write_events

pytestmark = pytest.mark.database


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
