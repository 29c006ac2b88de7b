"""Callers who are remembered: their quotas, in the process and in the cache (SECURITY 22, 27)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import redis
from flask import Flask
from pydantic import SecretStr

from config import Principal, Settings
from integrations.cache import RedisCache
from models.engine import Databases
from services.authenticate import LOOK_UP_BEARER
from services.field_encryption import field_cipher
from services.token_quota_set import set_token_quota
from services.user_quota_set import set_user_quota
from tests.factories.cast import Cast, Person
from tests.web.conftest import MakeApp
from tests.web.remembered import ENDS, at_a_browser, change, counted, doctor, read, remember

__all__ = ["doctor"]


def policy(answer: Any) -> str:
    return str(answer.headers["RateLimit-Policy"])


def test_a_quota_counts_from_the_next_request_on(
    app: Flask, doctor: Person, databases: Databases, settings: Settings, cast: Cast
) -> None:
    cipher = field_cipher(settings)

    def give(token: str | None, user: str | None) -> None:
        with databases.session(Principal.STAFF) as session:
            set_token_quota(session, at_a_browser(cast.admin), cipher, doctor.token_id, token)
            set_user_quota(session, at_a_browser(cast.admin), cipher, doctor.id, user)

    remember(app, doctor)
    for token, user, expected in (
        ("3/hour", None, "q=3;w=3600"), (None, "70/minute", "q=70;w=60"), (None, None, "q=20;w=60"),
    ):  # fmt: skip
        give(token, user)
        assert policy(read(app, doctor)).endswith(expected)
    change(databases, "UPDATE users SET quota = '80/minute' WHERE id = :user", doctor)
    assert policy(read(app, doctor)).endswith("q=80;w=60"), "also where no version was kept"


def test_a_quota_that_was_lowered_refuses_and_one_that_was_raised_does_not(
    app: Flask, doctor: Person, databases: Databases
) -> None:
    change(databases, "UPDATE api_tokens SET quota = '2/hour' WHERE id = :token", doctor)
    assert [read(app, doctor).status_code for _ in range(3)] == [200, 200, 429]
    change(databases, "UPDATE api_tokens SET quota = '9/hour' WHERE id = :token", doctor)
    assert read(app, doctor).status_code == 200
    change(databases, "UPDATE api_tokens SET quota = '1/hour' WHERE id = :token", doctor)
    assert read(app, doctor).status_code == 429
    change(databases, ENDS["revoked"], doctor)
    assert read(app, doctor).status_code == 401, "and not 429"


def test_being_remembered_takes_nothing_of_the_quota(app: Flask, doctor: Person, databases: Databases) -> None:
    change(databases, "UPDATE api_tokens SET quota = '100/hour' WHERE id = :token", doctor)
    left = [read(app, doctor).headers["RateLimit"].split(";")[1] for _ in range(5)]
    assert left == ["r=99", "r=98", "r=97", "r=96", "r=95"]


def test_a_process_that_was_just_started_takes_what_others_know(
    app: Flask, make_own_app: MakeApp, doctor: Person, databases: Databases
) -> None:
    remember(app, doctor)
    with counted() as sent:
        assert read(make_own_app(), doctor).status_code == 200
    assert LOOK_UP_BEARER not in sent
    change(databases, ENDS["revoked"], doctor)
    assert read(make_own_app(), doctor).status_code == 401


def test_security_22_a_stolen_cache_gives_no_token_and_no_name(
    app: Flask, doctor: Person, redis_url: str
) -> None:
    remember(app, doctor)
    cache = app.extensions["sigilo"].cache
    assert isinstance(cache, RedisCache)
    server: Any = redis.Redis.from_url(redis_url)
    names = server.keys("sigilo:cache:token:*")
    assert names
    everything = b"".join(name + (server.get(name) or b"") for name in names)
    secret_hash = hashlib.sha256(doctor.token.encode())
    for told in (
        doctor.token.encode(), secret_hash.digest(), secret_hash.hexdigest().encode(), str(doctor.id).encode(),
        doctor.id.bytes, b"Lia", b"DOCTOR", b"records:read",
    ):  # fmt: skip
        assert told not in everything


def test_callers_are_remembered_for_a_bounded_time_and_number(
    app: Flask, doctor: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(app, doctor)
    callers = app.extensions["sigilo"].callers
    known = callers.recall(doctor.token)
    assert 0 < known.seconds <= 60
    monkeypatch.setattr("services.remembered_caller.TOKENS_MAX", 3)
    for number in range(10):
        callers._keep_here(bytes([number]), known)
    assert len(callers._here) <= 3


def test_without_a_cache_and_without_redis_everything_works(
    make_own_app: MakeApp, doctor: Person, databases: Databases
) -> None:
    for url in ("off", "redis://127.0.0.1:1/0"):
        own = make_own_app(cache_url=SecretStr(url))
        assert [read(own, doctor).status_code for _ in range(3)] == [200] * 3
    change(databases, ENDS["revoked"], doctor)
    assert read(own, doctor).status_code == 401
