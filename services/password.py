"""Passwords: hashed with argon2id, and refused when short or among the common ones.

Parameters are SECURITY 8 (t=3, m=64 MiB, p=4: RFC 9106's second recommendation); length and list follow
OWASP ASVS 5.0 section 6.2: at least 12 characters, long ones allowed, nothing demanded of their make-up.
"""

from __future__ import annotations

import threading
import unicodedata
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from models.text import fold
from services.errors import Invalid

MIN_LENGTH = 12
MAX_LENGTH = 256  # a bound on work, far above any passphrase
COMMON = Path(__file__).parent / "data" / "common_passwords.txt"

# A hash takes 64 MiB: this bounds what simultaneous sign-ins can take from one process.
_at_once = threading.BoundedSemaphore(2)
_hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4, hash_len=32, salt_len=16, type=Type.ID)


def hash_password(password: str) -> str:
    """An argon2id hash in PHC format. Takes about a tenth of a second and 64 MiB."""
    with _at_once:
        return _hasher.hash(normal(password))


def verify_password(stored: str | None, password: str) -> bool:
    """Whether ``password`` gives ``stored``. Without a stored hash it computes one all the same and says no,
    so that an unknown user takes as long as a wrong password."""
    try:
        with _at_once:
            return _hasher.verify(stored or _nobody(), normal(password)) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


def needs_rehash(stored: str) -> bool:
    """Whether ``stored`` was made with other parameters than today's."""
    return _hasher.check_needs_rehash(stored)


def check_password(password: str, *, pointer: str = "/password") -> None:
    """Raise Invalid when ``password`` is too short, too long or one of the common ones."""
    if len(password) < MIN_LENGTH:
        raise Invalid.at(pointer, f"at least {MIN_LENGTH} characters: a few words are easy to remember")
    if len(password) > MAX_LENGTH:
        raise Invalid.at(pointer, f"at most {MAX_LENGTH} characters")
    if "\0" in password:
        raise Invalid.at(pointer, "characters that can be typed")
    if is_common(password):
        raise Invalid.at(pointer, "this password is among the first that are tried: choose another")


def is_common(password: str) -> bool:
    """Whether it is on the list: as it is, doubled, or dressed up with digits and signs at its end."""
    plain = fold(password)
    core = plain.rstrip("0123456789!@#$%&*.?-_ ")
    known = common_passwords()
    half = plain[: len(plain) // 2]
    return (
        plain in known
        or (core in known and len(core) >= len(plain) - 6)
        or (plain == half * 2 and half in known)
        or len(set(plain)) < 4
    )


@cache
def common_passwords() -> frozenset[str]:
    """The bundled list, folded: no accents, lower case."""
    lines = COMMON.read_text(encoding="utf-8").splitlines()
    return frozenset(fold(line.strip()) for line in lines if line.strip() and not line.startswith("#"))


def normal(password: str) -> str:
    """One form for what two keyboards encode differently (NFC, as RFC 8265 has it). Nothing is cut off."""
    return unicodedata.normalize("NFC", password)


@cache
def _nobody() -> str:
    return _hasher.hash("nobody has this password")
