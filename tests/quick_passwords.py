"""Passwords that cost next to nothing: a real hash takes a quarter of a second of a processor, on purpose, and a run
signs in some hundred times. Tests about passwords themselves ask for ``real_passwords``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from argon2 import PasswordHasher

from services import password

REAL = password._hasher
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@contextmanager
def hashing_with(hasher: PasswordHasher) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(password, "_hasher", hasher)
        password._nobody.cache_clear()
        yield
    password._nobody.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """In the tests' own process; a server that a test starts hashes as in production."""
    with hashing_with(QUICK):
        yield


@pytest.fixture
def real_passwords() -> Iterator[None]:
    with hashing_with(REAL):
        yield
