"""Secrets from AWS Secrets Manager, Google Secret Manager and Vault, over real HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import config_sources
from config import ConfigurationError, Principal, Settings, load_settings
from integrations.secret_stores import StoreFailed, amazon, http_json, read_reference
from tests.conftest import test_key as key_for
from tests.integrations.fake_secret_stores import (
    ACCOUNT,
    LOGIN_TOKEN,
    POD_JWT,
    REGION,
    ROLE,
    SECRET_ACCESS_KEY,
    VAULT_TOKEN,
    FakeStores,
    fake_stores,
)  # fmt: skip

GOOGLE_NAME = "projects/clinic/secrets/sigilo/versions/latest"
REFERENCES = {
    "amazon": "aws-sm://clinic/sigilo#field_key", "google": f"gcp-sm://{GOOGLE_NAME}#field_key",
    "vault": "vault://kv/clinic/sigilo#field_key",
}  # fmt: skip
SECRET = "a secret that nobody may read in an error"
WHAT_IS_KEPT = json.dumps({"field_key": SECRET, "number": 5, "empty": " "})
NEVER_SAID = (SECRET, SECRET_ACCESS_KEY, VAULT_TOKEN, LOGIN_TOKEN, POD_JWT, "ya29")


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeStores]:
    """Reached by the process's own environment, in which nothing else of a cloud is."""
    monkeypatch.setattr(http_json, "PAUSES", (0.0, 0.0))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with fake_stores() as running:
        running.secrets = dict.fromkeys(("clinic/sigilo", GOOGLE_NAME, "kv/data/clinic/sigilo"), WHAT_IS_KEPT)
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


def read(stores: FakeStores, reference: str, **variables: str) -> str:
    return read_reference(reference, stores.environment | variables, {})


def refused(stores: FakeStores, reference: str, **variables: str) -> str:
    with pytest.raises(StoreFailed) as raised:
        read(stores, reference, **variables)
    said = str(raised.value)
    assert "\n" not in said and not any(word in said for word in NEVER_SAID), said
    return said


@pytest.mark.parametrize("store", REFERENCES)
def test_a_member_of_a_secret_is_read(stores: FakeStores, store: str) -> None:
    assert read(stores, REFERENCES[store]) == SECRET
    address = REFERENCES[store].partition("#")[0]
    assert json.loads(read(stores, address)) == json.loads(WHAT_IS_KEPT), "without a member it is the whole text"


@pytest.mark.parametrize(
    ("member", "says"),
    [("other", "has no text under other"), ("number", "has no text under number"), ("empty", "is empty")],
)
def test_a_member_that_is_none_is_named(stores: FakeStores, member: str, says: str) -> None:
    assert says in refused(stores, f"vault://kv/clinic/sigilo#{member}")


@pytest.mark.parametrize("store", REFERENCES)
def test_a_secret_that_is_not_there(stores: FakeStores, store: str) -> None:
    stores.secrets.clear()
    assert "there is no such secret" in refused(stores, REFERENCES[store])
    assert len([asked for asked in stores.asked if "token" not in asked]) == 1, "asking again would not help"


@pytest.mark.parametrize(
    ("store", "variables", "says"),
    [
        ("amazon", {}, "credentials"),
        ("google", {"GCE_METADATA_HOST": ""}, "can't be reached"),
        ("vault", {"VAULT_TOKEN": "wrong"}, "answered 403: the token is unknown"),
        ("vault", {"VAULT_TOKEN": ""}, "set VAULT_TOKEN_FILE"),
        ("vault", {"VAULT_TOKEN": "two\nlines"}, "in one line"),
        ("vault", {"VAULT_ADDR": "http://vault.example.org"}, "https://host"),
        ("vault", {"VAULT_ADDR": "https://"}, "VAULT_ADDR is missing or not https://host"),
        ("google", {"GOOGLE_SECRET_MANAGER_URL": "http://google.example.org"}, "GOOGLE_SECRET_MANAGER_URL is missing"),
        ("google", {"GOOGLE_SECRET_MANAGER_URL": "https://[:a"}, "GOOGLE_SECRET_MANAGER_URL is missing or not https"),
        ("vault", {"VAULT_TOKEN": "", "VAULT_TOKEN_FILE": "/nonexistent"}, "/nonexistent cannot be read"),
        ("vault", {"VAULT_CACERT": "/nonexistent"}, "VAULT_CACERT"),
    ],
)
def test_wrong_credentials_are_said(
    stores: FakeStores, monkeypatch: pytest.MonkeyPatch, store: str, variables: dict[str, str], says: str
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x" * 40)
    if variables.get("GCE_METADATA_HOST") == "":
        variables = {"GCE_METADATA_HOST": "127.0.0.1:1"}
    assert says in refused(stores, REFERENCES[store], **variables)


def test_a_password_in_an_address_is_not_said(stores: FakeStores) -> None:
    said = refused(stores, REFERENCES["vault"], VAULT_ADDR=f"http://vault:{LOGIN_TOKEN}@127.0.0.1:1")
    assert said.startswith("Vault at 127.0.0.1 can't be reached")


def test_amazon_without_credentials_or_region(stores: FakeStores, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(stores, REFERENCES["amazon"]) == SECRET
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFSOMEBODYELSE")
    assert "credentials are none of Amazon's" in refused(stores, REFERENCES["amazon"])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "give the machine, task or pod a role" in refused(stores, REFERENCES["amazon"])
    assert "set AWS_REGION" in refused(stores, REFERENCES["amazon"], AWS_REGION="")


def test_an_arn_names_its_region(stores: FakeStores) -> None:
    arn = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:sigilo-AbCdEf"
    stores.secrets[arn] = SECRET
    assert read(stores, f"aws-sm://{arn}", AWS_REGION="") == SECRET


@pytest.mark.parametrize("store", REFERENCES)
def test_an_overloaded_store_is_asked_again_and_not_for_ever(stores: FakeStores, store: str) -> None:
    failure = (503, {"__type": "InternalServiceError", "message": SECRET, "errors": [SECRET]})
    stores.instead = [failure, failure]
    assert read(stores, REFERENCES[store]) == SECRET
    stores.instead = [failure] * 9
    stores.asked.clear()
    assert "answered" in refused(stores, REFERENCES[store])
    assert len(stores.asked) == 3


@pytest.mark.parametrize("store", REFERENCES)
def test_a_store_that_says_nothing_is_given_up(
    stores: FakeStores, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.setattr(http_json, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(amazon, "TIMEOUT_SECONDS", 0.2)
    stores.hangs = True
    assert "can't be reached" in refused(stores, REFERENCES[store])
    assert len(stores.asked) == 3


@pytest.mark.parametrize(
    ("answer", "says"),
    [((302, {}), "answered 302"), ((200, b"<html>"), "no JSON"), ((200, []), "object"), ((200, {"data": 1}), "KV 2")],
)
def test_what_is_no_answer_is_none(stores: FakeStores, answer: tuple[int, Any], says: str) -> None:
    stores.instead = [answer]
    assert says in refused(stores, REFERENCES["vault"])
    assert len(stores.asked) == 1, "no redirect is followed"


@pytest.mark.parametrize(
    "reference",
    ["vault://kv#x", "vault://kv/a/../b#x", "gcp-sm://sigilo#x", "gcp-sm://projects/p/secrets/../versions/1"],
)
def test_a_reference_that_is_none_asks_nobody(stores: FakeStores, reference: str) -> None:
    assert "is written" in refused(stores, reference)
    assert stores.asked == []


def test_vault_knows_a_pod_by_its_service_account(stores: FakeStores, tmp_path: Path) -> None:
    jwt = tmp_path / "token"
    jwt.write_text(POD_JWT + "\n")
    pod = {"VAULT_TOKEN": "", "VAULT_ROLE": ROLE, "VAULT_JWT_FILE": str(jwt)}
    assert read(stores, REFERENCES["vault"], **pod) == SECRET
    assert stores.asked == ["POST /v1/auth/kubernetes/login", "GET /v1/kv/data/clinic/sigilo"]
    assert "bind it to the role" in refused(stores, REFERENCES["vault"], **pod | {"VAULT_ROLE": "other"})
    jwt.unlink()
    assert "cannot be read" in refused(stores, REFERENCES["vault"], **pod)


def test_google_knows_a_key_file(stores: FakeStores, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    stores.account_key = key.public_key()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {"client_email": ACCOUNT, "private_key": pem, "token_uri": f"{stores.url}/token"}
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account))
    given = {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}
    assert read(stores, REFERENCES["google"], **given) == SECRET
    stores.account_key = rsa.generate_private_key(65537, 2048).public_key()
    assert "the key was revoked" in refused(stores, REFERENCES["google"], **given)
    stores.asked.clear()
    file.write_text(json.dumps(account | {"token_uri": "http://sign-in.example.org/token"}))
    assert "token_uri" in refused(stores, REFERENCES["google"], **given)
    assert stores.asked == []
    file.write_text(json.dumps({"type": "external_account"}))
    assert "no key of a service account" in refused(stores, REFERENCES["google"], **given)


def test_settings_hold_what_a_reference_stands_for(
    stores: FakeStores, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = {"field_key": key_for("fields of Vault"), "secret_key": "s" * 40}
    stores.secrets["kv/data/clinic/sigilo"] = json.dumps(kept)
    monkeypatch.setenv("FIELD_KEY", "vault://kv/clinic/sigilo#field_key")
    file = tmp_path / "secret_key"
    file.write_text("vault://kv/clinic/sigilo#secret_key\n")
    monkeypatch.setenv("SECRET_KEY_FILE", str(file))
    others = {name: value for name, value in settings.model_dump().items() if name not in kept}
    loaded = load_settings(**others)
    assert {name: getattr(loaded, name).get_secret_value() for name in kept} == kept
    assert len(stores.asked) == 1, "one secret is fetched once"

    stores.instead = [(500, {})] * 3
    with pytest.raises(ConfigurationError, match=r"_KEY: Vault answered 500: look at") as raised:
        load_settings(**others)
    assert not any(word in str(raised.value) for word in (*NEVER_SAID, *kept.values()))


def test_a_password_that_changes_in_a_store_is_noticed(
    stores: FakeStores, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = "vault://kv/clinic/sigilo#url"
    stores.secrets["kv/data/clinic/sigilo"] = json.dumps({"url": "postgresql://sigilo:first@/db"})
    monkeypatch.setenv("DATABASE_URL", reference)
    monkeypatch.setattr(config_sources, "_asked", {})
    given = {name: value for name, value in settings.model_dump().items() if not name.startswith("database_url")}
    loaded = load_settings(**given)
    assert ":first@" in loaded.url_for(Principal.STAFF)
    stores.secrets["kv/data/clinic/sigilo"] = json.dumps({"url": "postgresql://sigilo:second@/db"})
    stores.asked.clear()
    assert all(":second@" in loaded.url_anew(Principal.STAFF) for _ in range(5))
    assert len(stores.asked) == 1, "a store is not asked at every connection that fails"
    monkeypatch.setattr(config_sources, "STORE_REST_SECONDS", 0.0)
    stores.instead = [(403, {"errors": ["permission denied"]})]
    assert ":first@" in loaded.url_anew(Principal.STAFF), "without the store it stays as it was"


def test_no_store_is_imported_unless_a_reference_names_one() -> None:
    code = "import sys, config\ntry: config.load_settings()\nexcept config.ConfigurationError: pass\n"
    code += "print([name for name in sys.modules if name.startswith(('integrations', 'boto'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
