"""What an installation can't do without stops its start, in a sentence that says what is wrong and how to make one."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from config import ConfigurationError, Principal, load_settings

SECRET = base64.b64encode(os.urandom(48)).decode()
KEY = base64.b64encode(os.urandom(32)).decode()
DATABASE = "postgresql://sigilo:3v9Tq8zLr1Wx7Kp2@db.internal/sigilo"


def production(home: Path, **changed: str) -> dict[str, Any]:
    """Settings of a whole installation, with nothing of this machine's environment in them."""
    values = {
        "sigilo_env": "production", "sigilo_home": home, "secret_key": SECRET, "field_key": KEY,
        "audit_signing_key": base64.b64encode(os.urandom(32)).decode(), "database_url": DATABASE,
        "redis_url": "redis://:5nR8bYc0QmZs4Ef1@cache.internal:6379/0", "public_url": "https://clinic.example",
    }  # fmt: skip
    return {**values, **{f"database_url_{principal.value}": "" for principal in Principal}, **changed}


def test_a_whole_installation_starts(tmp_path: Path) -> None:
    assert load_settings(**production(tmp_path)).is_production


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"secret_key": ""}, "SECRET_KEY is missing or shorter than 32 characters: .*openssl"),
        ({"secret_key": SECRET[:31]}, "SECRET_KEY is missing or shorter than 32 characters"),
        ({"secret_key": "change-me " * 4}, "SECRET_KEY looks like a placeholder"),
        ({"field_key": ""}, "FIELD_KEY is missing or not 32 bytes in base64: .*openssl"),
        ({"field_key": base64.b64encode(b"short").decode()}, "FIELD_KEY is missing or not 32 bytes"),
        ({"audit_signing_key": ""}, "AUDIT_SIGNING_KEY is missing or not 32 bytes"),
        ({"database_url": ""}, "DATABASE_URL is missing: postgresql://"),
        ({"redis_url": ""}, "REDIS_URL is missing: redis://"),
    ],
)
def test_what_is_missing_short_or_a_placeholder_stops_the_start_in_production(
    tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised:
        load_settings(**production(tmp_path, **changed))
    assert SECRET[:31] not in str(raised.value)
