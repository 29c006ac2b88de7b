"""What most tests of services need besides a database and its cast."""

from __future__ import annotations

import pytest

from config import Settings
from models.engine import Databases
from services.field_encryption import FieldCipher, field_cipher
from tests.factories.cast import Cast, as_made


@pytest.fixture(scope="module", autouse=True)
def cast_as_made(databases: Databases, cast: Cast) -> None:
    """Who is inside and who outside is what most of these tests are about, whatever modules before this one left."""
    as_made(databases, cast)


@pytest.fixture(scope="session")
def cipher(settings: Settings) -> FieldCipher:
    return field_cipher(settings)
