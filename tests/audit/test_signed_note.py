"""Notes and checkpoints, against the format's published example and against what a forger might send."""

from __future__ import annotations

import base64

import pytest

from services.audit_checkpoint import Checkpoint
from services.signed_note import NoteError, Signer, VerifierKey, open_note, parse_note

# The example of golang.org/x/mod/sumdb/note, from which C2SP took the format.
KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)  # fmt: skip
NOTE = (
    f"{TEXT}\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
SIGNER = Signer("clinic.example.org/audit-chain", bytes(range(32)))
CHECKPOINT = Checkpoint(SIGNER.name, 4711, bytes(range(32)))


def test_the_published_example_opens() -> None:
    key = VerifierKey.parse(KEY)
    assert open_note(NOTE, [key]) == (TEXT, [key])
    assert str(key) == KEY


def test_what_was_signed_opens_with_the_printed_key() -> None:
    note = SIGNER.sign(CHECKPOINT.text())
    assert Checkpoint.open(note, [VerifierKey.parse(str(SIGNER.verifier))]) == CHECKPOINT
    assert note.splitlines()[:2] == ["clinic.example.org/audit-chain", "4711"]


def test_a_bare_public_key_is_trusted_under_any_name() -> None:
    """So a changed PUBLIC_URL does not make older checkpoints worthless."""
    key = VerifierKey.parse(base64.b64encode(SIGNER.verifier.public).decode())
    renamed = Signer("elsewhere.example.org/audit-chain", SIGNER.seed)
    assert open_note(renamed.sign("a\n"), [key]) == ("a\n", [key])
    with pytest.raises(NoteError):
        open_note(renamed.sign("a\n"), [SIGNER.verifier])


def test_one_known_signature_among_others_suffices() -> None:
    note = SIGNER.sign(TEXT) + NOTE.rpartition("\n\n")[2] + "— witness.example+1 AAAAAAAAAAAAAAAA\n"
    assert open_note(note, [VerifierKey.parse(KEY)])[0] == TEXT
    assert len(parse_note(note)[1]) == 3


@pytest.mark.parametrize(
    "note",
    [
        NOTE.replace("answer", "Answer"),
        NOTE.replace("x08go", "y08go"),
        NOTE.replace("— PeterNeumann", "— PeterNewman"),
        NOTE.replace("nAM=", "nAM"),
        NOTE.removesuffix("\n"),
        NOTE.replace("\n\n—", "\n—"),
        NOTE.replace("— ", "- "),
        f"{TEXT}\n",
        "",
        TEXT,
        NOTE.replace("problem,\n", "problem,\r\n"),
        NOTE + "\n",
        "x" * 1_000_001,
    ],
)
def test_a_changed_or_malformed_note_does_not_open(note: str) -> None:
    if note == NOTE:  # a replacement that hit nothing would test nothing
        pytest.fail("the parameter is the untouched note")
    with pytest.raises(NoteError):
        open_note(note, [VerifierKey.parse(KEY)])


@pytest.mark.parametrize("text", ["", "a+b", KEY + "A", KEY.replace("c74f20a3", "c74f20a4"), "Peter+c74f20a3+AAAA"])
def test_a_malformed_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey.parse(text)


HASH = CHECKPOINT.text().splitlines()[2]


@pytest.mark.parametrize(
    "text",
    [
        "a\n1\n",
        f"\n1\n{HASH}\n",
        f"a\n-1\n{HASH}\n",
        f"a\n0\n{HASH}\n",
        f"a\n01\n{HASH}\n",
        "a\n1\nAAAA\n",
        f"a\n١\n{HASH}\n",
    ],
)
def test_a_note_that_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


def test_a_checkpoint_may_say_more_than_this_version_reads() -> None:
    assert Checkpoint.parse(CHECKPOINT.text() + "a later line\n") == CHECKPOINT


def test_a_signer_does_not_show_its_key() -> None:
    assert "seed" not in repr(SIGNER)
