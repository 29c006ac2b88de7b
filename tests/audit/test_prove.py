"""Checkpoints sign a Merkle tree over the trail; a proof of one event holds for whoever has the public key alone."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from config import Principal, Settings
from models.engine import Databases
from services.audit_chain import TEXT_SETTINGS, canonical, text_columns
from services.audit_checkpoint import Checkpoint, public_key, signer_of, trusted_keys, write_checkpoint
from services.audit_prove import FORMAT, check, prove
from services.audit_tree import Head, grow
from services.audit_verify import verify
from services.errors import Conflict, Invalid, NotFound
from services.merkle import Tree, leaf_hash
from services.signed_note import VerifierKey, open_note
from tests.audit.trail import as_superuser, drain_all, sealed, write_events

pytestmark = pytest.mark.database
EVENTS = 700  # beyond two of the subtrees that are kept, and no power of two


def sign(trail: Databases, settings: Settings) -> str:
    with trail.session(Principal.WORKER) as session:
        return write_checkpoint(session, signer_of(settings))


def keys_of(settings: Settings) -> list[VerifierKey]:
    return [VerifierKey.parse(public_key(settings))]


def canonical_events(superuser: str) -> list[bytes]:
    with as_superuser(superuser) as connection, connection.transaction():
        connection.execute(TEXT_SETTINGS)
        statement = f"SELECT {text_columns('t')} FROM audit_trail t ORDER BY t.sequence"
        return [canonical(row) for row in connection.execute(statement)]


def root_of(events: list[bytes]) -> bytes:
    tree = Tree()
    for event in events:
        tree.add(leaf_hash(event))
    return tree.root()


@pytest.fixture
def signed(trail: Databases, trail_settings: Settings) -> list[str]:
    """The checkpoints of a trail that grew in three steps."""
    notes = []
    for count in (5, 400, EVENTS - 405):
        write_events(trail, count)
        drain_all(trail, limit=250)
        notes.append(sign(trail, trail_settings))
    return notes


def test_a_checkpoint_is_a_c2sp_tlog_checkpoint_over_the_tree(
    signed: list[str], trail_settings: Settings, superuser: str
) -> None:
    events = canonical_events(superuser)
    for note, size in zip(signed, (5, 405, EVENTS), strict=True):
        lines = open_note(note, keys_of(trail_settings))[0].split("\n")
        assert lines[:2] == [signer_of(trail_settings).name, str(size)]
        assert base64.b64decode(lines[2]) == root_of(events[:size])
        assert lines[3] == f"chain-hash {base64.b64encode(sealed(superuser)[size - 1]['hash']).decode()}"


def test_the_large_subtrees_are_kept_and_the_small_ones_are_not(signed: list[str], superuser: str) -> None:
    events = canonical_events(superuser)
    with as_superuser(superuser) as connection:
        nodes = {
            (level, position): node
            for level, position, node in connection.execute("SELECT level, position, hash FROM audit_tree_nodes")
        }
    assert nodes == {
        (8, 0): root_of(events[:256]), (8, 1): root_of(events[256:512]), (9, 0): root_of(events[:512]),
    }  # fmt: skip


@pytest.mark.parametrize("sequence", [1, 5, 6, 256, 257, 405, 512, 513, EVENTS])
def test_a_third_party_checks_an_event_with_the_key_alone(
    signed: list[str], trail_settings: Settings, superuser: str, sequence: int
) -> None:
    proof = prove(trail_settings, str(sequence))
    assert proof == prove(trail_settings, str(sealed(superuser)[sequence - 1]["id"]))
    assert proof.startswith(f"{FORMAT}\nextra ") and proof.endswith(tuple(signed))
    proven = check(proof, keys_of(trail_settings))
    assert (proven.event, proven.sequence) == (canonical_events(superuser)[sequence - 1], sequence)
    assert json.loads(proven.event)["sequence"] == sequence


def test_an_event_signed_before_the_installation_moved_is_checked_with_the_key_of_today(
    signed: list[str], trail_settings: Settings
) -> None:
    moved = trail_settings.model_copy(update={"public_url": "https://outro-endereco.example.org"})
    key = public_key(moved)
    assert key != public_key(trail_settings)
    assert check(prove(trail_settings, "3"), trusted_keys([key])).sequence == 3
    assert verify(moved, keys=[key]).is_intact


def test_nothing_that_was_changed_proves_anything(signed: list[str], trail_settings: Settings) -> None:
    keys, proof = keys_of(trail_settings), prove(trail_settings, "300")
    lines = proof.split("\n")
    other = prove(trail_settings, "301").split("\n")
    forged = {
        "another event": [*lines[:1], other[1], *lines[2:]],
        "another place": [*lines[:2], "index 300", *lines[3:]],
        "no such place": [*lines[:2], f"index {EVENTS}", *lines[3:]],
        "a place not written plainly": [*lines[:2], "index 0299", *lines[3:]],
        "a path cut short": [*lines[:3], *lines[4:]],
        "a path made longer": [*lines[:4], lines[3], *lines[4:]],
        "another path": [*lines[:3], *other[3:]],
        "another format": ["c2sp.org/tlog-proof@v2", *lines[1:]],
        "no event": [lines[0], *lines[2:]],
        "no base64": [*lines[:3], "!", *lines[4:]],
        "nothing": [""],
    }
    assert check("\n".join(lines), keys).sequence == 300
    for what, text in forged.items():
        with pytest.raises(Invalid) as refused:
            check("\n".join(text), keys)
        assert refused.value.detail.startswith("This proves nothing"), what
    with pytest.raises(Invalid, match="no known key"):
        check(proof, [VerifierKey(bytes(32))])
    with pytest.raises(Invalid, match="no known key"):
        check(proof.replace(f"\n{EVENTS}\n", f"\n{EVENTS - 1}\n").replace("\n405\n", "\n404\n"), keys)


def test_what_is_not_there_or_not_signed_yet_is_said(
    signed: list[str], trail: Databases, trail_settings: Settings
) -> None:
    write_events(trail, 1)
    drain_all(trail)
    with pytest.raises(Conflict, match="No checkpoint covers"):
        prove(trail_settings, str(EVENTS + 1))
    for unknown in ("0", str(EVENTS + 2), "0190a0a0-0000-7000-8000-000000000000"):
        with pytest.raises(NotFound):
            prove(trail_settings, unknown)
    with pytest.raises(Invalid):
        prove(trail_settings, "the last one")


def test_security_29_a_changed_event_can_neither_be_proven_nor_signed(
    signed: list[str], trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE audit_trail SET action = 'nothing.happened' WHERE sequence = 300")
    with pytest.raises(Conflict, match="not what was signed"):
        prove(trail_settings, "300")
    write_events(trail, 3)
    drain_all(trail)
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE audit_trail SET outcome = 'failure' WHERE sequence = %s", (EVENTS + 2,))
    with pytest.raises(Conflict, match=f"Event {EVENTS + 2} does not match its hash"):
        sign(trail, trail_settings)


def test_security_29_a_tree_that_was_tampered_with_is_neither_grown_nor_believed(
    signed: list[str], trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    """Invented events in the frontier would be signed with the next checkpoint."""
    with as_superuser(superuser) as connection:
        connection.execute(
            "UPDATE audit_checkpoints SET frontier = sha256('x') || substring(frontier FROM 33) WHERE sequence = %s",
            (EVENTS,),
        )
        connection.execute("UPDATE audit_tree_nodes SET hash = sha256('y')")
    assert check(prove(trail_settings, "300"), keys_of(trail_settings)).sequence == 300
    write_events(trail, 3)
    drain_all(trail)
    newest = Checkpoint.open(sign(trail, trail_settings), keys_of(trail_settings))
    assert newest.root == root_of(canonical_events(superuser))


def test_what_is_sealed_meanwhile_waits_for_the_next_checkpoint(
    signed: list[str], trail: Databases, trail_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(trail, 4)
    drain_all(trail)
    write_events(trail, 4)

    def grow_late(*arguments: Any) -> Head:
        drain_all(trail)
        return grow(*arguments)

    monkeypatch.setattr("services.audit_checkpoint.grow", grow_late)
    assert Checkpoint.open(sign(trail, trail_settings), keys_of(trail_settings)).sequence == EVENTS + 4
    assert Checkpoint.open(sign(trail, trail_settings), keys_of(trail_settings)).sequence == EVENTS + 8


@pytest.mark.parametrize(
    ("kept", "said"), [(f"sequence <> {EVENTS - 5}", "is missing"), ("sequence <= 600", "was signed and is gone")]
)
def test_security_29_a_trail_with_a_gap_or_a_cut_tail_is_not_signed(
    signed: list[str], trail: Databases, trail_settings: Settings, superuser: str, kept: str, said: str
) -> None:
    with as_superuser(superuser) as connection:
        if "missing" in said:
            connection.execute("DELETE FROM audit_checkpoints WHERE sequence = %s", (EVENTS,))
        connection.execute(f"DELETE FROM audit_trail WHERE NOT ({kept})")
    with pytest.raises(Conflict, match=said):
        sign(trail, trail_settings)


def test_security_29_a_root_that_the_events_do_not_have_is_found(
    signed: list[str], trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    """Whoever has the signing key can sign anything, but not make the trail agree with it."""
    signer, good = signer_of(trail_settings), Checkpoint.open(signed[-1], keys_of(trail_settings))
    note = signer.sign(Checkpoint(good.origin, good.sequence, good.hash, bytes(32)).text())
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE audit_checkpoints SET note = %s WHERE sequence = %s", (note, EVENTS))
    report = verify(trail_settings)
    assert [(problem.kind, problem.sequence) for problem in report.problems] == [("checkpoint", EVENTS)]


def test_a_checkpoint_of_before_there_was_a_tree_still_holds(
    trail: Databases, trail_settings: Settings, superuser: str
) -> None:
    """It proves the chain; the tree begins at the first event all the same."""
    write_events(trail, 20)
    drain_all(trail)
    signer, head = signer_of(trail_settings), sealed(superuser)[-1]["hash"]
    old = signer.sign(Checkpoint(signer.name, 20, head).text())
    assert Checkpoint.open(old, keys_of(trail_settings)) == Checkpoint(signer.name, 20, head, None)
    with as_superuser(superuser) as connection:
        connection.execute("INSERT INTO audit_checkpoints (sequence, hash, note) VALUES (20, %s, %s)", (head, old))
    assert verify(trail_settings).is_intact
    write_events(trail, 5)
    drain_all(trail)
    newest = Checkpoint.open(sign(trail, trail_settings), keys_of(trail_settings))
    assert newest.root == root_of(canonical_events(superuser))
    assert check(prove(trail_settings, "3"), keys_of(trail_settings)).checkpoint == newest
