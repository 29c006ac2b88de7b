"""Signed notes, the text format of transparency logs (C2SP signed-note v1.0.0), with Ed25519 keys.

A note is text ending in a newline, an empty line, and one signature line per key::

    clinic.example.org/audit-chain
    4711
    3q2+7w…=

    — clinic.example.org/audit-chain 8a3xFw…=

The base64 of a signature line is a 4-byte key id and the signature over the text. The key id is the start of
SHA-256(name ‖ newline ‖ 0x01 ‖ public key); a verifier key is written ``name+id in hex+base64(0x01 ‖ key)``, with
``@4711`` behind it when it was retired: it is believed of the first 4711 events of a trail and of none after them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
ID_BYTES = 4
KEY_BYTES = 32
SIGNATURE_BYTES = 64
SIGNATURE_MARK = "\u2014 "
RETIRED = "@"
LONGEST_NOTE = 1_000_000  # bytes, as C2SP advises for what is parsed
MOST_SIGNATURES = 100


class NoteError(ValueError):
    """A note or a verifier key that is not what the format says; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line, not yet checked."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key (32 bytes). ``name`` None: the key is trusted under whatever name it signs. ``until``: the last
    event that it is believed of; None while it is in use."""

    public: bytes
    name: str | None = None
    until: int | None = None

    def __str__(self) -> str:
        name = self.name or ""
        encoded = base64.b64encode(ED25519 + self.public).decode()
        retired = "" if self.until is None else f"{RETIRED}{self.until}"
        return f"{name}+{key_id(name, self.public).hex()}+{encoded}{retired}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """A verifier key, or a bare public key in base64, retired or not. Raises NoteError."""
        written, retired, last = text.strip().rpartition(RETIRED)
        is_retired = bool(retired) and last.isascii() and last.isdigit()
        if not is_retired:
            written = text.strip()
        until = int(last) if is_retired else None
        bare = _decoded(written)
        if len(bare) == KEY_BYTES:
            return cls(bare, until=until)
        name, number, encoded = (*written.split("+", 2), "", "")[:3]
        key = _decoded(encoded)
        if len(key) == 1 + KEY_BYTES and key[:1] == ED25519 and name and number == key_id(name, key[1:]).hex():
            return cls(key[1:], name, until)
        raise NoteError("a verifier key is written name+id+key, as `sigilo audit key` prints it")

    @property
    def anywhere(self) -> VerifierKey:
        """The same key, trusted under whatever name it signed: an installation's name may change, its key stays."""
        return replace(self, name=None)

    def is_believed_of(self, sequence: int) -> bool:
        """Whether it was in use when so many events were sealed."""
        return self.until is None or sequence <= self.until

    def has_signed(self, text: str, signature: Signature) -> bool:
        """Whether ``signature`` is this key's, and true."""
        if self.name is not None and signature.name != self.name:
            return False
        if signature.key_id != key_id(signature.name, self.public) or len(signature.signature) != SIGNATURE_BYTES:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature.signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A named Ed25519 private key (its 32-byte seed, RFC 8032), and the keys that signed before it did."""

    name: str
    seed: bytes = field(repr=False)
    former: tuple[VerifierKey, ...] = ()

    @property
    def verifier(self) -> VerifierKey:
        return VerifierKey(Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw(), self.name)

    @property
    def own_key(self) -> VerifierKey:
        """Its public key, trusted under whatever name it signed."""
        return self.verifier.anywhere

    @property
    def trusted(self) -> list[VerifierKey]:
        """Whose signatures are the installation's own: its key's, and of what is older those of the former ones."""
        return [self.own_key, *(key.anywhere for key in self.former)]

    def sign(self, text: str) -> str:
        """The note of ``text``, which must end in a newline and hold no empty line of its own at the end."""
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode())
        encoded = base64.b64encode(key_id(self.name, self.verifier.public) + signature).decode()
        return f"{text}\n{SIGNATURE_MARK}{self.name} {encoded}\n"


def key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:ID_BYTES]


def open_note(note: str, keys: Iterable[VerifierKey]) -> tuple[str, list[VerifierKey]]:
    """The text of ``note`` (with its last newline), and those of ``keys`` that signed it. Raises NoteError when none
    did."""
    text, signatures = parse_note(note)
    signers = [key for key in keys if any(key.has_signed(text, signature) for signature in signatures)]
    if not signers:
        raise NoteError("no known key has signed this checkpoint, or it was changed after it was signed")
    return text, signers


def refuse_retired(signers: Iterable[VerifierKey], sequence: int) -> None:
    """What speaks of so many events has to be signed by a key that was in use then: whoever finds an old key signs
    nothing new with it. Raises NoteError."""
    if not any(key.is_believed_of(sequence) for key in signers):
        raise NoteError("it was signed with a key that had been retired by then")


def parse_note(note: str) -> tuple[str, list[Signature]]:
    """The text and the unchecked signatures of ``note``. Raises NoteError."""
    if len(note) > LONGEST_NOTE or any(ord(sign) < 0x20 and sign != "\n" for sign in note):
        raise NoteError("this is no signed note: it is too long or holds control characters")
    text, separator, block = note.rpartition("\n\n")
    lines = block.split("\n")
    if not separator or lines.pop() != "" or not 1 <= len(lines) <= MOST_SIGNATURES:
        raise NoteError("this is no signed note: its signature lines are missing")
    return text + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(SIGNATURE_MARK).partition(" ")
    raw = _decoded(encoded)
    if not line.startswith(SIGNATURE_MARK) or not space or not name or len(raw) <= ID_BYTES:
        raise NoteError("this is no signed note: a signature line is malformed")
    return Signature(name, raw[:ID_BYTES], raw[ID_BYTES:])


def _decoded(text: str) -> bytes:
    """The bytes of base64, empty when it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
