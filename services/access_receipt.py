"""A receipt of who saw a patient's record: plain text that the clinic signed, checked anywhere with its public key.

It is a signed note (``services/signed_note.py``) whose first line is ``sigilo-access-receipt/1``. Each access is named
with its number in the trail and its chain hash, so that an auditor finds it there (``sigilo audit prove NUMBER``). The
signature says that the clinic stated this; that nothing was left out, no list can prove.
"""

from __future__ import annotations

from collections.abc import Sequence

from config import Settings
from services.audit_checkpoint import signer_of
from services.errors import Invalid
from services.signed_note import NoteError, VerifierKey, open_note

FORMAT = "sigilo-access-receipt/1"


def sign_receipt(settings: Settings, text: str) -> str:
    """The note of ``text``, one paragraph or several."""
    return signer_of(settings).sign(f"{FORMAT}\n{text.strip()}\n")


def one_line(said: str) -> str:
    """What somebody typed, as it may stand within a line that the clinic signs: a name or a reason that brings line
    breaks along, or signs that turn the direction of what follows, could pass for more lines than there are."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in said).split())


def read_receipt(note: str, keys: Sequence[VerifierKey]) -> tuple[str, bool]:
    """What the receipt says, when one of ``keys`` signed it, and whether that key is still in use. A receipt says when
    it was made, and whoever has a former key can write any time: one that only such a key signed is to be compared with
    the trail. Raises Invalid."""
    try:
        text, signers = open_note(note, keys)
    except NoteError as error:
        raise Invalid(f"This receipt proves nothing: {error}.") from None
    first, _, rest = text.partition("\n")
    if first != FORMAT:
        raise Invalid("This is signed, and no receipt of accesses.")
    return rest, any(key.until is None for key in signers)
