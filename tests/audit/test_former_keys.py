"""AUDIT_SIGNING_KEY is replaced: what the former key signed stays signed, and what it signs from then on is nothing."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from config import Principal, Settings
from embedded.doctor import signing_keys
from embedded.errors import TroubleError
from integrations import checkpoint_sinks
from integrations.checkpoint_sinks import FolderSink, Kept, read_note
from models.engine import Databases, driver_connection
from services import audit_signed
from services.access_receipt import read_receipt, sign_receipt
from services.audit_checkpoint import Checkpoint, public_key, signer_of, trusted_keys
from services.audit_file import write_file
from services.audit_keys import keys_with_last
from services.audit_prove import check, prove
from services.audit_report import Report
from services.audit_signed import SignedStatements, notes_in
from services.audit_verify import verify, verify_files
from services.checkpoint_deliver import kept_outside
from services.errors import Conflict, Invalid
from tests.audit.tampered import checkpoint, kinds, rehash, tamper
from tests.audit.test_archive import archive_one, old_settings
from tests.audit.trail import as_superuser, drain_all, write_events, write_old_events

__all__ = ["old_settings"]

pytestmark = pytest.mark.database
LAST = 10  # what the former key signed last


def replaced(settings: Settings, *former: str) -> Settings:
    """With another key, and ``former`` ones."""
    key = SecretStr(base64.b64encode(bytes(range(32))).decode())
    return settings.model_copy(update={"audit_signing_key": key, "audit_former_keys": former})


def grown(trail: Databases, count: int) -> None:
    write_events(trail, count)
    drain_all(trail)


@pytest.fixture
def former(trail: Databases, trail_settings: Settings) -> str:
    """The former key as AUDIT_FORMER_KEYS takes it, after it signed the first ten events of a trail."""
    grown(trail, LAST)
    checkpoint(trail_settings)
    (line,) = keys_with_last(trail_settings)
    assert line == f"{public_key(trail_settings)}@{LAST}"
    return line


@pytest.fixture
def present(trail: Databases, trail_settings: Settings, former: str) -> Settings:
    """The settings after the change, with a checkpoint by the new key over 25 events."""
    settings = replaced(trail_settings, former)
    grown(trail, 15)
    checkpoint(settings)
    return settings


def note_of(settings: Settings, path: Path) -> Path:
    return Path(checkpoint(settings).rename(path))


def test_the_trail_verifies_across_the_change(
    trail: Databases, trail_settings: Settings, former: str, tmp_path: Path
) -> None:
    old = note_of(trail_settings, tmp_path / "1.checkpoint")
    settings = replaced(trail_settings, former)
    grown(trail, 15)
    note_of(settings, tmp_path / "2.checkpoint")
    grown(trail, 3)
    report = verify(settings)
    assert (report.is_intact, report.stored_checkpoints, report.events) == (True, 2, 28), str(report)
    assert verify(settings, checkpoint=old).anchored == LAST
    assert verify(settings, checkpoint=tmp_path).anchored == 25
    exported = tmp_path / "trail.gz"
    write_file(settings, exported)
    keys = [public_key(settings), former]
    offline = verify_files([exported], keys, checkpoint=tmp_path)
    assert (offline.is_intact, offline.anchored) == (True, 25), str(offline)


def test_a_key_that_nobody_named_is_refused(trail_settings: Settings, present: Settings, tmp_path: Path) -> None:
    unnamed = present.model_copy(update={"audit_former_keys": ()})
    report = verify(unnamed)
    assert kinds(report) == [("checkpoint", LAST, None)], str(report)
    assert "no known key has signed" in str(report)
    assert kinds(verify(trail_settings)) == [("checkpoint", 25, None)], "the former one does not know the new one"


def test_what_a_retired_key_signs_after_its_end_is_nobodys_word(
    trail: Databases, trail_settings: Settings, present: Settings, tmp_path: Path
) -> None:
    """Whoever finds the old key: in the table, in a file, and in the folder that keeps checkpoints."""
    folder = tmp_path / "kept"
    grown(trail, 5)
    forged = note_of(trail_settings, tmp_path / "forged.txt")
    report = verify(present, checkpoint=forged)
    assert [(problem.kind, problem.sequence) for problem in report.problems] == [("checkpoint", 0), ("checkpoint", 30)]
    assert str(report).count("had been retired by then") == 2
    assert report.anchored is None
    here = present.model_copy(update={"checkpoint_sinks": (SecretStr(f"file://{folder}"),)})
    place = folder / forged.read_text().split("/")[0].strip().replace("\n", "")
    place.mkdir(parents=True)
    (place / "30.checkpoint").write_text(forged.read_text())
    outside = kept_outside(here, signer_of(here).trusted, {f"file://{folder}": 25})
    assert (outside.note, outside.is_missing) == (None, True)


def test_the_new_key_signs_what_it_knows_and_nothing_that_was_changed_before(
    trail: Databases, trail_settings: Settings, former: str, superuser: str
) -> None:
    settings = replaced(trail_settings, former)
    grown(trail, 3)
    tamper(superuser, "DELETE FROM audit_trail WHERE sequence > 8")
    with pytest.raises(Exception, match="was signed and is gone"):
        checkpoint(settings)


def test_a_proof_is_by_the_present_key_where_that_has_signed(
    trail_settings: Settings, former: str, trail: Databases
) -> None:
    settings = replaced(trail_settings, former)
    early = prove(settings, "3")
    assert check(early, trusted_keys([former])).sequence == 3
    with pytest.raises(Invalid, match="no known key"):
        check(early, trusted_keys([public_key(settings)]))
    grown(trail, 4)
    checkpoint(settings)
    later = prove(settings, "3")
    assert check(later, trusted_keys([public_key(settings)])).checkpoint.sequence > LAST
    with pytest.raises(Invalid, match="no known key"):
        check(later, trusted_keys([former]))


def test_a_proof_by_a_retired_key_of_what_is_newer_proves_nothing(
    trail: Databases, trail_settings: Settings, former: str
) -> None:
    grown(trail, 5)
    checkpoint(trail_settings)
    proof = prove(trail_settings, "12")
    assert check(proof, trusted_keys([public_key(trail_settings)])).sequence == 12
    with pytest.raises(Invalid, match="had been retired by then"):
        check(proof, trusted_keys([former]))


def test_with_the_old_key_history_is_not_rewritten(
    trail_settings: Settings, present: Settings, superuser: str, tmp_path: Path
) -> None:
    """A superuser who holds it may sign other first ten events; what the present key signed covers those too."""
    kept = note_of(present, tmp_path / "present.checkpoint")
    tamper(superuser, "UPDATE audit_trail SET action = 'patient.read' WHERE sequence = 3")
    rehash(superuser)
    tamper(superuser, "TRUNCATE audit_checkpoints, audit_tree_nodes", "DELETE FROM audit_trail WHERE sequence > 10")
    note_of(trail_settings, tmp_path / "former.checkpoint")
    report = verify(present, checkpoint=tmp_path)
    assert not report.is_intact and report.anchored == LAST
    assert not verify(present, checkpoint=kept).is_intact


def test_a_false_statement_by_the_old_key_is_said_and_hides_nothing_of_the_present_ones(
    trail_settings: Settings, present: Settings, tmp_path: Path
) -> None:
    note_of(present, tmp_path / "present.checkpoint")
    signer = signer_of(trail_settings)
    false = Checkpoint(signer.name, 7, bytes(32), bytes(32))
    (tmp_path / "former.checkpoint").write_text(signer.sign(false.text()))
    report = verify(present, checkpoint=tmp_path)
    assert (report.problem_count, report.anchored) == (1, 25), str(report)
    own = signer_of(present).sign(Checkpoint(signer.name, 7, bytes(32), bytes(32)).text())
    (tmp_path / "former.checkpoint").write_text(own)
    assert verify(present, checkpoint=tmp_path).anchored is None, "by the present one it is heard"


def test_archives_that_a_former_key_signed_stay_signed(
    trail: Databases, old_settings: Settings, superuser: str
) -> None:
    write_old_events(trail, superuser, (30, 1))
    grown(trail, 5)
    archive_one(trail, old_settings, superuser)
    key = public_key(old_settings)
    after = replaced(old_settings, f"{key}@30")
    checkpoint(after)
    report = verify(after)
    assert (report.is_intact, report.archived, report.head) == (True, 30, 36), str(report)
    too_early = verify(replaced(old_settings, f"{key}@29"))
    assert "had been retired by then" in str(too_early)
    assert not too_early.is_intact


def test_a_receipt_by_a_former_key_holds_and_says_so(trail_settings: Settings) -> None:
    receipt = sign_receipt(trail_settings, "Maria")
    key = public_key(trail_settings)
    assert read_receipt(receipt, trusted_keys([key])) == ("Maria\n", True)
    assert read_receipt(receipt, trusted_keys([f"{key}@{LAST}"])) == ("Maria\n", False)


def test_keys_are_printed_with_what_they_signed_last(present: Settings, former: str) -> None:
    assert keys_with_last(present) == [f"{public_key(present)}@25", former]
    during = present.model_copy(update={"audit_former_keys": (former.partition("@")[0],)})
    assert keys_with_last(during)[1] == former


LAY = "INSERT INTO audit_checkpoints (sequence, hash, root, frontier, note) VALUES (%s, %s, %s, %s, %s)"


def lay(databases: Databases, signer: Settings, sequence: int, *, row: int | None = None) -> None:
    """As the worker, which may: what ``signer``'s key says of so many events, in row ``row``."""
    digest = bytes(32)
    note = signer_of(signer).sign(Checkpoint("sigilo/audit-chain", sequence, digest, digest).text())
    with databases.session(Principal.WORKER) as session:
        driver_connection(session).execute(LAY, (row or sequence, digest, digest, digest, note))


@pytest.mark.parametrize(
    ("sequence", "row", "why"),
    [
        (10**12, None, "the trail ends with event 25"),
        (10**12, 9, "is not of that row"),
        (24, None, "is newer than the first of the present key, of event 15"),
    ],
)
def test_a_leaked_key_does_not_say_itself_how_long_it_is_believed(
    trail: Databases, trail_settings: Settings, former: str, sequence: int, row: int | None, why: str, superuser: str
) -> None:
    during = replaced(trail_settings, former.partition("@")[0])
    for count in (5, 10):
        grown(trail, count)
        checkpoint(during)
    if row is not None:
        tamper(superuser, f"DELETE FROM audit_checkpoints WHERE sequence = {LAST}")
    lay(trail, trail_settings, sequence, row=row)
    with pytest.raises(Conflict, match=f"in row {row or sequence} .*{why}"):
        keys_with_last(during)
    assert keys_with_last(replaced(trail_settings, former))[1] == former, "what was put down stays"


def test_a_leaked_key_lifts_no_end_over_a_row_of_its_own(
    trail_settings: Settings, present: Settings, former: str, superuser: str
) -> None:
    """By UPDATE, which no role of ours may: the note in row 10 says 10^12."""
    note = signer_of(trail_settings).sign(Checkpoint("sigilo/audit-chain", 10**12, bytes(32), bytes(32)).text())
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE audit_checkpoints SET note = %s WHERE sequence = %s", (note, LAST))
    with pytest.raises(Conflict, match=f"in row {LAST} .*is not of that row"):
        keys_with_last(present.model_copy(update={"audit_former_keys": (former.partition("@")[0],)}))


def test_a_folder_of_checkpoints_is_read_as_the_trail_gets_there(
    trail: Databases, trail_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one and in order, over several folders and more names than are held; a name that lies is said."""
    monkeypatch.setattr(checkpoint_sinks, "BATCH_OF_ALL", 3)
    signer, read = signer_of(trail_settings), []
    for number in range(1, 13):
        grown(trail, 1)
        note = checkpoint(trail_settings).read_text()
        FolderSink(tmp_path / "kept").keep(Kept(note, f"place-{number % 3}", number))

    def seen(path: Path) -> str:
        read.append(int(path.stem))
        return read_note(path)

    monkeypatch.setattr(audit_signed, "read_note", seen)
    met = SignedStatements(Report(), signer.trusted, notes_in(tmp_path / "kept"), ())
    assert (read, met.next) == ([1], 1)
    report = verify(trail_settings, checkpoint=tmp_path / "kept")
    assert (report.is_intact, report.anchored) == (True, 12), str(report)
    assert read == [1, *range(1, 13)]
    FolderSink(tmp_path / "kept").keep(Kept(note, "place-0", 700))
    report = verify(trail_settings, checkpoint=tmp_path / "kept")
    assert (report.problem_count, report.anchored) == (1, 12)
    assert "the file of event 700 speaks of event 12" in str(report)
    beyond = signer.sign(Checkpoint(signer.name, 900, bytes(32), bytes(32)).text())
    FolderSink(tmp_path / "kept").keep(Kept(beyond, "place-1", 900))
    assert kinds(verify(trail_settings, checkpoint=tmp_path / "kept"))[-1] == ("missing", 13, 900)


def test_doctor_says_when_a_former_key_has_no_end(trail_settings: Settings, former: str) -> None:
    assert signing_keys(replaced(trail_settings, former)) == "one in use, 1 former"
    with pytest.raises(TroubleError, match="believed of everything"):
        signing_keys(replaced(trail_settings, former.partition("@")[0]))
    with pytest.raises(TroubleError, match="which signs still"):
        signing_keys(trail_settings.model_copy(update={"audit_former_keys": (former,)}))


@pytest.mark.parametrize("value", ["a", "a+00000000+AAAA@1", "sigilo/audit-chain+12345678+" + "A" * 44 + "@0"])
def test_a_former_key_that_is_none_is_refused_at_the_start(trail_settings: Settings, value: str) -> None:
    with pytest.raises(ValidationError, match="AUDIT_FORMER_KEYS"):
        Settings(**{**trail_settings.model_dump(), "audit_former_keys": value})
