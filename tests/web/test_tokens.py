"""Bearer tokens: SECURITY 22, and `GET /api/me`."""

from __future__ import annotations

import base64
import hashlib
import secrets
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from config import Principal, Settings
from models import Notification, Role
from models.engine import Databases
from services.actor import Actor
from services.audit_event import SYSTEM
from services.errors import Conflict, Forbidden, Invalid, NotFound
from services.field_encryption import field_cipher
from services.permissions import scopes_of
from services.token_create import MadeToken, create_token
from services.user_create import create_user
from services.user_disable import disable_user
from tests.factories.cast import Cast
from tests.web.conftest import PASSWORD, Browser

MakeToken = Callable[..., MadeToken]


@pytest.fixture
def email(databases: Databases, settings: Settings) -> str:
    """A doctor's e-mail address."""
    address = f"{secrets.token_hex(8)}@example.org"
    with databases.session(Principal.STAFF) as session:
        create_user(
            session, SYSTEM, field_cipher(settings),
            email=address, full_name="Ana Moura", roles=["DOCTOR"], password=PASSWORD, council="CRM-SP 123456",
        )  # fmt: skip
    return address


@pytest.fixture
def make(databases: Databases, settings: Settings) -> MakeToken:
    """Make a token at the server."""

    def make_token(email: str, **values: Any) -> MadeToken:
        with databases.session(Principal.STAFF) as session:
            return create_token(session, SYSTEM, field_cipher(settings), email=email, **values)

    return make_token


def row(databases: Databases, token_id: uuid.UUID) -> Any:
    with databases.session(Principal.MIGRATOR) as session:
        return session.execute(text("SELECT * FROM api_tokens WHERE id = :id"), {"id": token_id}).one()


def call(app: Flask, token: str, path: str = "/api/me") -> Any:
    return Browser(app).client.get(path, headers={"Authorization": f"Bearer {token}"})


def test_security_22_a_token_has_256_bits_and_only_its_hash_is_kept(
    make: MakeToken, databases: Databases, email: str
) -> None:
    made = make(email)
    prefix, _, secret = made.secret.partition("_")
    assert prefix == "sgl"
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    kept = row(databases, made.token_id)
    assert bytes(kept.secret_hash) == hashlib.sha256(made.secret.encode()).digest()
    assert secret not in repr(kept)
    assert make(email).secret != made.secret


def test_security_22_a_token_expires_and_is_revoked_at_once(
    make: MakeToken, app: Flask, databases: Databases, email: str
) -> None:
    made = make(email, lifetime=timedelta(days=1))
    assert call(app, made.secret).status_code == 200
    for column in ("expires_at", "revoked_at"):
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(text(f"UPDATE api_tokens SET {column} = now() WHERE id = :id"), {"id": made.token_id})
        answer = call(app, made.secret)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(
                text("UPDATE api_tokens SET expires_at = now() + interval '1 day', revoked_at = NULL WHERE id = :id"),
                {"id": made.token_id},
            )
    assert call(app, made.secret).status_code == 200


def test_security_22_last_use_is_kept_to_the_minute(
    make: MakeToken, app: Flask, databases: Databases, email: str
) -> None:
    made = make(email)
    assert row(databases, made.token_id).last_used_at is None
    call(app, made.secret)
    first = row(databases, made.token_id).last_used_at
    assert first is not None
    call(app, made.secret)
    assert row(databases, made.token_id).last_used_at == first
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(
            text("UPDATE api_tokens SET last_used_at = last_used_at - interval '61 s' WHERE id = :id"),
            {"id": made.token_id},
        )
    call(app, made.secret)
    assert row(databases, made.token_id).last_used_at >= first


def test_security_22_scopes_narrow_and_never_widen(
    make: MakeToken, app: Flask, databases: Databases, email: str
) -> None:
    patients = make(email, scopes=["patients:read"])
    assert call(app, patients.secret, "/api/patients").status_code == 200
    assert call(app, patients.secret, "/api/medical-records").status_code == 403
    assert call(app, patients.secret).get_json()["scopes"] == ["patients:read"]
    everything = make(email)
    assert set(everything.scopes) == {scope.value for scope in scopes_of(Role.DOCTOR)}
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(
            text("UPDATE api_tokens SET scopes = scopes || '{users:write,*}' WHERE id = :id"),
            {"id": everything.token_id},
        )
    assert call(app, everything.secret, "/api/imports").status_code in (403, 405)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer sgl_", "Bearer {token}x", "Token {token}", "Bearer {upper}",
     "Bearer sgl_" + "x" * 5000, "Bearer \xe9"],
)  # fmt: skip
def test_security_22_anything_but_the_token_is_401(make: MakeToken, header: str, app: Flask, email: str) -> None:
    made = make(email)
    value = header.replace("{token}", made.secret).replace("{upper}", made.secret.upper())
    answer = Browser(app).client.get("/api/me", headers={"Authorization": value})
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"


def test_security_22_a_token_in_a_url_or_a_cookie_is_no_token(make: MakeToken, app: Flask, email: str) -> None:
    made = make(email)
    client = Browser(app).client
    assert client.get(f"/api/me?access_token={made.secret}&token={made.secret}").status_code == 401
    client.set_cookie("sigilo", made.secret, domain="localhost")
    assert client.get("/api/me").status_code == 401


def test_security_03_a_disabled_users_tokens_end(
    make: MakeToken, app: Flask, databases: Databases, email: str, settings: Settings
) -> None:
    made = make(email)
    with databases.session(Principal.STAFF) as session:
        disable_user(session, SYSTEM, field_cipher(settings), email=email)
    assert call(app, made.secret).status_code == 401
    assert row(databases, made.token_id).revoked_at is not None
    with pytest.raises(Conflict):
        make(email)


def test_me_says_who_the_token_is(make: MakeToken, app: Flask, email: str) -> None:
    made = make(email, quota="77/hour", scopes=["records:read"])
    shown = call(app, made.secret).get_json()
    assert shown["name"] == "Ana Moura"
    assert (shown["role"], shown["council"], shown["patientId"]) == ("DOCTOR", "CRM-SP 123456", None)
    assert shown["quota"] == {"limit": 77, "windowSeconds": 3600}


def test_making_a_token_is_recorded(make: MakeToken, databases: Databases, email: str) -> None:
    made = make(email, name="laboratório")
    with databases.session(Principal.WORKER) as session:
        found = session.execute(
            text("SELECT action, outcome, actor_role, changes FROM audit_outbox WHERE entity_id = :id"),
            {"id": made.token_id},
        ).one()
        told = session.scalars(select(Notification).where(Notification.subject_id == made.token_id)).one()
    assert tuple(found[:3]) == ("token.create", "success", "SYSTEM")
    after = {change["field"]: change["after"] for change in found.changes}
    assert {name for name, digest in after.items() if digest} == {"userId", "name", "role", "scopes", "expiresAt"}
    assert made.secret not in str(found.changes) and "laboratório" not in str(found.changes)
    kept = row(databases, made.token_id)
    assert (told.kind, told.user_id, told.read_at) == ("token.created", kept.user_id, None)


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"scopes": ["everything"]}, "/scopes"),
        ({"scopes": ["records:read", "Records:Read"]}, "/scopes"),
        ({"quota": "20"}, "/quota"),
        ({"quota": "0/minute"}, "/quota"),
        ({"name": " "}, "/name"),
        ({"lifetime": timedelta(0)}, "/days"),
        ({"lifetime": timedelta(days=36500)}, "/days"),
        ({"role": Role.ADMIN}, "/role"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(
    make: MakeToken, values: dict[str, Any], pointer: str, email: str
) -> None:
    with pytest.raises(Invalid) as caught:
        make(email, **values)
    assert [error.pointer for error in caught.value.errors] == [pointer]


def test_who_may_make_tokens(databases: Databases, settings: Settings, email: str, cast: Cast) -> None:
    cipher = field_cipher(settings)
    admin = Actor(user_id=cast.admin.id, role=Role.ADMIN, name="Davi")
    with databases.session(Principal.STAFF) as session:
        with pytest.raises(Forbidden, match="sees what administrators do not"):
            create_token(session, admin, cipher, email=email)
        with pytest.raises(NotFound):
            create_token(session, admin, cipher, email="nobody@example.org")
        with pytest.raises(Forbidden):
            create_token(session, admin, cipher, email=cast.admin.email)
        with pytest.raises(Forbidden):
            create_token(session, cast.doctor.actor, cipher, email=email)
        with pytest.raises(Forbidden):
            create_token(session, cast.admin.actor, cipher, email=email)  # a token makes no tokens
