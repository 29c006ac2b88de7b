"""What most tests of services need besides a database and its cast."""

from __future__ import annotations

import pytest

from config import Settings
from services.field_encryption import FieldCipher, field_cipher


@pytest.fixture(scope="session")
def cipher(settings: Settings) -> FieldCipher:
    return field_cipher(settings)
