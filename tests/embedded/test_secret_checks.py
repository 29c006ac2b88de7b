"""What ``sigilo doctor`` says about secrets."""

from __future__ import annotations

import base64
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import config_sources
from config import Settings, decode_key, key_number
from embedded import secret_checks
from services.field_keys import SealedRows
from tests.conftest import test_key as key_for

GOOD = "Zk3vQ8xT1mWc7LrB5nYp2HsD9gUa4JfE"


def changed(settings: Settings, **values: str) -> Settings:
    """Settings of production as they would be with ``values``, unchecked: doctor looks at what was let through."""
    update: dict[str, Any] = {name: SecretStr(value) for name, value in values.items()}
    return settings.model_copy(update={"sigilo_env": "production", **update})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("field_key", base64.b64encode(bytes(32)).decode(), "FIELD_KEY looks like a placeholder"),
        ("field_key", base64.b64encode(b"0123456789abcdef" * 2).decode(), None),
        ("secret_key", "abcdefghijklmnop" * 3, "SECRET_KEY looks like a placeholder"),
        ("secret_key", "please change-me now 1234567890 abcdef", "SECRET_KEY looks like a placeholder"),
        ("secret_key_previous", f"{GOOD},{'a1' * 20}", "SECRET_KEY_PREVIOUS looks like a placeholder"),
        ("redis_url", "redis://:Zk3vQ8xT1mWc7@redis/0", "the password in REDIS_URL is shorter than 16"),
        ("database_url", "postgresql://app:aaaaaaaaaaaaaaaaaaaa@db/x", "the password of app in DATABASE_URL looks"),
        ("metrics_token", "short", "METRICS_TOKEN looks like a placeholder"),
        ("smtp_url", f"smtp://clinic:{GOOD}@mail:587?from=a@b.org", None),
    ],
)
def test_weak_ones_are_named(settings: Settings, name: str, value: str, says: str | None) -> None:
    before = set(secret_checks.weak_secrets(changed(settings)))
    said = set(secret_checks.weak_secrets(changed(settings, **{name: value}))) - before
    assert not any(value in sentence for sentence in said)
    assert [sentence for sentence in said if says is None or says not in sentence] == []
    assert bool(said) == (says is not None)


def test_one_value_for_two_purposes(settings: Settings) -> None:
    key = settings.field_key.get_secret_value()
    said = list(secret_checks.reused_secrets(changed(settings, audit_signing_key=key)))
    assert said == ["AUDIT_SIGNING_KEY and FIELD_KEY are the same: make one of its own for each"]
    url = f"redis://:{GOOD}@redis/0"
    same = changed(settings, redis_url=url, database_url=f"postgresql://app:{GOOD}@db/x", secret_key=GOOD)
    (sentence,) = secret_checks.reused_secrets(same)
    assert sentence.startswith("SECRET_KEY and the password in REDIS_URL and the password of app in DATABASE_URL are")
    one_login = changed(settings, **{
        f"database_url_{role}": f"postgresql://app:{GOOD}@db/x?options=-crole%3D{role}" for role in ("staff", "worker")
    })  # fmt: skip
    assert list(secret_checks.reused_secrets(one_login)) == [], "one login in several URLs is one secret"


def test_files_that_others_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_sources, "SECRETS_DIRECTORIES", (str(tmp_path / "mounted"),))
    (tmp_path / "mounted").mkdir()
    for path, mode in ((tmp_path / "named", 0o640), (tmp_path / "mounted" / "secret_key", 0o644)):
        path.write_text("x")
        path.chmod(mode)
    (said,) = secret_checks.open_files({"FIELD_KEY_FILE": str(tmp_path / "named")})
    assert said.startswith(f"{tmp_path}/mounted/secret_key is open to other accounts: chmod o= ")


def test_the_environment_of_production_is_no_place(settings: Settings) -> None:
    environ = {
        "SECRET_KEY": GOOD, "FIELD_KEY": "vault://kv/sigilo#field_key", "DATABASE_URL": "postgresql:///sigilo",
        "REDIS_URL": f"redis://:{GOOD}@redis/0", "CLINIC_NAME": "Clínica",
    }  # fmt: skip
    assert list(secret_checks.in_the_environment(changed(settings), environ)) == [
        "SECRET_KEY stands in the environment: put it into a file and name that with SECRET_KEY_FILE",
        "REDIS_URL stands in the environment: put it into a file and name that with REDIS_URL_FILE",
    ]
    assert list(secret_checks.in_the_environment(settings, environ)) == []


def number(key: str) -> int:
    return key_number(decode_key(key))


def test_former_field_keys_are_counted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = key_for("next fields"), settings.field_key.get_secret_value()
    between = changed(settings, field_key=new, field_key_previous=old)
    rows = SealedRows()
    monkeypatch.setattr(secret_checks, "_sealed", lambda _: rows)
    assert list(secret_checks.former_keys(between, {})) == [
        f"nothing is sealed under a key in FIELD_KEY_PREVIOUS (number {number(old)}):"
        " take it out, unless it is the next one"
    ]
    rows.by_kind["patients"] = Counter({number(old): 3, number(new): 9})
    rows.by_kind["versions"] = Counter({number(old): 4})
    assert list(secret_checks.former_keys(between, {})) == [
        f"7 rows need a former field key (number {number(old)}): run `sigilo keys reencrypt`"
    ]
    (said,) = secret_checks.former_keys(changed(settings, field_key=new), {})
    assert said.startswith(f"7 rows are sealed under a field key that is not configured (number {number(old)})")


def test_the_database_is_asked(settings: Settings) -> None:
    assert list(secret_checks.former_keys(settings, {})) == []


def test_a_former_session_key_is_of_no_use_after_half_a_day(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "secret_key"
    file.write_text("x")
    between, environ = changed(settings, secret_key_previous=GOOD), {"SECRET_KEY_FILE": str(file)}
    assert list(secret_checks.former_keys(between, environ)) == []
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 13 * 3600))
    (said,) = secret_checks.former_keys(between, environ)
    assert said.startswith("SECRET_KEY has been in its file for more than 12 hours")
