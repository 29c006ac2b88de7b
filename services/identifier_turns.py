"""Who looks whether a CPF or CNS is taken, and then takes it, while field keys change.

Two writers at once meet at a unique index otherwise. Then two processes may index one number under different keys, and
the indexes see nothing equal.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.field_encryption import FieldCipher


def take_turns(session: Session, cipher: FieldCipher, *numbers: Sequence[bytes]) -> None:
    """Wait, while there are several keys, for whoever looks for one of ``numbers``; then others wait until this
    transaction ends. Each number is given by its ``blind_indexes``, the same under all keys."""
    if len(cipher.numbers) < 2:
        return
    for lock in sorted(int.from_bytes(index[:8], signed=True) for indexes in numbers for index in indexes):
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
