"""Passwords, and guesses at them: SECURITY 8, 11 and 12."""

from __future__ import annotations

import re
import statistics
import time
from typing import Any

import argon2
import pytest
import redis
from flask import Flask

from config import Principal, Settings
from models.engine import Databases
from services.audit_event import SYSTEM
from services.field_encryption import field_cipher
from services.login_failures import account_keys
from services.password import needs_rehash, verify_password
from services.user_disable import disable_user
from tests.web.account_rows import MakeLogin, change, events_of, rows
from tests.web.conftest import Browser, Login, MakeApp, csrf_of, new_address


@pytest.mark.usefixtures("real_passwords")
def test_security_08_argon2id_parameters(make_login: MakeLogin, databases: Databases) -> None:
    login = make_login()
    stored = rows(databases, "SELECT password_hash FROM users WHERE email = :e", e=login.email)[0].password_hash
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


@pytest.mark.usefixtures("real_passwords")
def test_security_08_a_weaker_hash_is_replaced_at_login(
    browser: Browser, make_login: MakeLogin, databases: Databases
) -> None:
    login = make_login()
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(login.password)
    change(databases, "UPDATE users SET password_hash = :h WHERE email = :e", h=weak, e=login.email)
    assert browser.sign_in(login).status_code == 303
    stored = rows(databases, "SELECT password_hash, version FROM users WHERE email = :e", e=login.email)[0]
    assert not needs_rehash(stored.password_hash)
    assert verify_password(stored.password_hash, login.password)
    assert stored.version == 1, "the same password is no new version of the user"


def without_varying(answer: Any) -> str:
    """The page without its token, request id and the address typed in, which all differ by themselves."""
    return re.sub(r'value="[^"]*"|[0-9a-f]{32}', "", answer.get_data(as_text=True))


def test_security_11_unknown_and_wrong_look_the_same(
    app: Flask, make_login: MakeLogin, databases: Databases, settings: Settings
) -> None:
    login, disabled = make_login(), make_login()
    with databases.session(Principal.STAFF) as session:
        disable_user(session, SYSTEM, field_cipher(settings), email=disabled.email)
    answers = [
        Browser(app).sign_in(Login(login.email, "a wrong password")),
        Browser(app).sign_in(Login("nobody-" + login.email, "a wrong password")),
        Browser(app).sign_in(disabled),
        Browser(app).sign_in(Login("import@sigilo.invalid", "a wrong password")),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({without_varying(answer) for answer in answers}) == 1
    assert len({frozenset(answer.headers.keys()) for answer in answers}) == 1


@pytest.mark.usefixtures("real_passwords")
def test_security_11_the_hash_is_always_computed(app: Flask, make_login: MakeLogin) -> None:
    """An unknown user costs the same work as a wrong password: far more than a look-up takes."""
    login = make_login()

    def seconds(email: str) -> float:
        browser = Browser(app)
        token = csrf_of(browser.get("/login"))
        started = time.process_time()
        browser.client.post("/login", data={"email": email, "password": "wrong wrong wrong", "csrf_token": token})
        return time.process_time() - started

    known = statistics.median(seconds(login.email) for _ in range(3))
    unknown = statistics.median(seconds(f"{n}{login.email}") for n in range(3))
    assert unknown > known / 2


def test_security_12_an_account_locks_after_ten_failures(
    app: Flask, make_login: MakeLogin, databases: Databases, redis_url: str
) -> None:
    login = make_login()
    wrong = Login(login.email, "a wrong password")
    for _ in range(9):
        assert Browser(app).sign_in(wrong).status_code == 401
    redis.Redis.from_url(redis_url).flushall()
    assert Browser(app).sign_in(wrong).status_code == 401
    answer = Browser(app).sign_in(login)
    assert answer.status_code == 429, "the right password does not open a locked account"
    assert 0 < int(answer.headers["Retry-After"]) <= 15 * 60 + 1
    redis.Redis.from_url(redis_url).flushall()
    assert Browser(app).sign_in(login).status_code == 429, "the count is in PostgreSQL"
    outcomes = events_of(databases, login.email)
    assert outcomes.count(("session.login", "failure")) == 10


def test_security_12_the_lock_ends_and_success_clears_the_count(
    app: Flask, make_login: MakeLogin, databases: Databases, settings: Settings
) -> None:
    login = make_login()
    for _ in range(10):
        Browser(app).sign_in(Login(login.email, "a wrong password"))
    assert Browser(app).sign_in(login).status_code == 429
    key = account_keys(settings, login.email)[0]
    change(databases, "UPDATE login_failures SET locked_until = now() WHERE key = :k", k=key)
    assert Browser(app).sign_in(login).status_code == 303
    assert rows(databases, "SELECT 1 FROM login_failures WHERE key = :k", k=key) == []


def test_security_12_unknown_accounts_lock_like_known_ones(app: Flask) -> None:
    nobody = Login(f"{new_address()}@example.org", "a wrong password")
    statuses = [Browser(app).sign_in(nobody).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]


def test_security_12_an_address_locks_after_many_failures_on_many_accounts(
    make_own_app: MakeApp, make_login: MakeLogin, databases: Databases
) -> None:
    app, address, login = make_own_app(rate_limit_login="10000/minute"), new_address(), make_login()
    Browser(app, address).sign_in(Login(f"{new_address()}@example.org", "a wrong password"))
    change(databases, "UPDATE login_failures SET failures = 100 WHERE kind = 'ip' AND key = :k", k=address)
    Browser(app, address).sign_in(Login(f"{new_address()}@example.org", "a wrong password"))
    change(databases, "UPDATE login_failures SET locked_until = now() + interval '5 min' WHERE key = :k", k=address)
    assert Browser(app, address).sign_in(login).status_code == 429
    assert Browser(app).sign_in(login).status_code == 303, "from elsewhere the account is open"


def test_success_takes_back_the_count_of_its_address(app: Flask, make_login: MakeLogin, databases: Databases) -> None:
    address, login = new_address(), make_login()
    for _ in range(3):
        Browser(app, address).sign_in(login)
    assert rows(databases, "SELECT failures FROM login_failures WHERE key = :k", k=address)[0].failures == 0
