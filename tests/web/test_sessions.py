"""Signing in, sessions and their end: SECURITY 1 to 4 and 7."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from config import Principal, Settings
from models.engine import Databases
from services.audit_event import SYSTEM
from services.authenticate import secret_hash
from services.field_encryption import field_cipher
from services.user_disable import disable_user
from tests.factories.cast import Cast
from tests.web.account_rows import MakeLogin, change, events_of, rows
from tests.web.conftest import Browser, Login, MakeApp, csrf_of, new_address


def age_session(databases: Databases, browser: Browser, column: str, interval: str) -> None:
    secret = browser.cookie()
    assert secret is not None
    change(
        databases,
        f"UPDATE sessions SET {column} = {column} - CAST(:by AS interval) WHERE secret_hash = :hash",
        by=interval,
        hash=secret_hash(secret),
    )


def test_security_01_session_ids_are_random_and_rotated_at_login(
    browser: Browser, make_login: MakeLogin, databases: Databases
) -> None:
    login = make_login()
    browser.client.set_cookie("sigilo", "chosen-by-an-attacker", domain="localhost")
    assert browser.sign_in(login).status_code == 303
    first = browser.cookie()
    assert first is not None
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", first), "32 random bytes, base64url"
    other = Browser(browser.client.application)
    other.client.set_cookie("sigilo", first, domain="localhost")
    other.post("/login", {"email": login.email, "password": login.password}, form="/")
    second = other.cookie()
    assert second not in (None, first)
    assert browser.get("/api/me").status_code == 401, "the session that was replaced has ended"
    assert other.get("/api/me").status_code == 200
    stored = rows(databases, "SELECT secret_hash FROM sessions WHERE secret_hash = :h", h=secret_hash(str(second)))
    assert len(stored) == 1
    assert str(second).encode() not in bytes(stored[0].secret_hash)


def test_security_02_a_cookie_replayed_after_logout_gets_401(
    browser: Browser, make_login: MakeLogin, databases: Databases
) -> None:
    login = make_login()
    browser.sign_in(login)
    cookie = browser.cookie()
    assert browser.get("/api/me").status_code == 200
    answer = browser.post("/logout", form="/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert browser.cookie() is None
    browser.client.set_cookie("sigilo", str(cookie), domain="localhost")
    assert browser.get("/api/me").status_code == 401
    page = browser.get("/")
    assert page.status_code == 401
    assert page.mimetype == "text/html"
    assert ("session.logout", "success") in events_of(databases, login.email)


def test_security_03_disabling_a_user_ends_sessions_and_tokens(
    browser: Browser, make_login: MakeLogin, databases: Databases, settings: Settings
) -> None:
    login = make_login()
    browser.sign_in(login)
    assert browser.get("/api/me").status_code == 200
    with databases.session(Principal.STAFF) as session:
        disable_user(session, SYSTEM, field_cipher(settings), email=login.email)
    assert browser.get("/api/me").status_code == 401
    assert browser.sign_in(login).status_code == 401
    kept = rows(
        databases,
        "SELECT ended_because FROM sessions JOIN users u ON u.id = user_id WHERE u.email = :e",
        e=login.email,
    )
    assert [row.ended_because for row in kept] == ["user disabled"]
    versions = rows(
        databases,
        "SELECT content ->> 'disabledAt' AS at FROM user_versions v JOIN users u ON u.id = v.user_id "
        "WHERE u.email = :e ORDER BY v.version",
        e=login.email,
    )
    assert [row.at is not None for row in versions] == [False, True]


def test_security_04_an_idle_session_ends_after_15_minutes(
    browser: Browser, make_login: MakeLogin, databases: Databases
) -> None:
    browser.sign_in(make_login())
    age_session(databases, browser, "last_seen_at", "14 minutes")
    assert browser.get("/api/me").status_code == 200
    age_session(databases, browser, "last_seen_at", "14 minutes")
    assert browser.get("/api/me").status_code == 200, "a request is a sign of life"
    age_session(databases, browser, "last_seen_at", "15 minutes 1 second")
    assert browser.get("/api/me").status_code == 401


def test_security_04_background_requests_are_no_sign_of_life(
    browser: Browser, make_login: MakeLogin, databases: Databases
) -> None:
    browser.sign_in(make_login())
    age_session(databases, browser, "last_seen_at", "14 minutes")
    assert browser.get("/api/me", headers={"Sigilo-Background": "1"}).status_code == 200
    age_session(databases, browser, "last_seen_at", "2 minutes")
    assert browser.get("/api/me", headers={"Sigilo-Background": "1"}).status_code == 401


def test_security_04_an_open_pages_own_check_is_no_sign_of_life_whatever_it_says(
    browser: Browser, make_login: MakeLogin, databases: Databases
) -> None:
    browser.sign_in(make_login())
    age_session(databases, browser, "last_seen_at", "14 minutes")
    assert browser.get("/live").status_code == 200
    age_session(databases, browser, "last_seen_at", "2 minutes")
    assert browser.get("/live").status_code == 401


def test_security_04_a_session_ends_after_12_hours_whatever_happens(
    browser: Browser, make_login: MakeLogin, databases: Databases
) -> None:
    browser.sign_in(make_login())
    secret = secret_hash(str(browser.cookie()))
    lasts = rows(databases, "SELECT expires_at - created_at AS d FROM sessions WHERE secret_hash = :h", h=secret)[0].d
    assert abs(lasts.total_seconds() - 12 * 3600) < 1
    age_session(databases, browser, "expires_at", "12 hours")
    assert browser.get("/api/me").status_code == 401


def seconds_left(page: TestResponse) -> tuple[int, int]:
    """Idle and absolute, as the page counts them down; the header of the same answer says the same."""
    found = re.search(r'data-idle-seconds="(\d+)" data-end-seconds="(\d+)"', page.get_data(as_text=True))
    assert found is not None
    assert page.headers["Sigilo-Session"].startswith(f"idle={found[1]}, end={found[2]}, user=")
    return int(found[1]), int(found[2])


def test_security_04_a_page_says_how_long_its_session_lasts(
    browser: Browser, make_login: MakeLogin, databases: Databases
) -> None:
    browser.sign_in(make_login())
    idle, end = seconds_left(browser.get("/password"))
    assert 890 <= idle <= 900
    assert 12 * 3600 - 10 <= end <= 12 * 3600
    age_session(databases, browser, "last_seen_at", "14 minutes")
    background = {"Sigilo-Background": "1"}
    assert 50 <= seconds_left(browser.get("/password", headers=background))[0] <= 60, "it prolongs nothing"
    assert seconds_left(browser.get("/password"))[0] == 900, "this does"
    age_session(databases, browser, "expires_at", "11 hours 55 minutes")
    assert 290 <= seconds_left(browser.get("/password"))[1] <= 300
    stay = browser.get("/live/stay")
    left = stay.headers["Sigilo-Session"]
    assert re.fullmatch(r"idle=\d+, end=(29\d|300), user=[0-9a-f-]{36}:[A-Z]+", left), "staying leaves the end alone"


def test_security_04_a_page_counts_by_the_idle_time_that_the_clinic_set(
    browser: Browser, make_login: MakeLogin, databases: Databases
) -> None:
    browser.sign_in(make_login())
    change(databases, "UPDATE settings SET value = '5' WHERE key = 'session.idle_minutes'")
    try:
        assert 290 <= seconds_left(browser.get("/password"))[0] <= 300
    finally:
        change(databases, "UPDATE settings SET value = '15' WHERE key = 'session.idle_minutes'")


def test_a_token_has_no_session_that_could_end(app: Flask, cast: Cast) -> None:
    assert "Sigilo-Session" not in app.test_client().get("/api/me", headers=cast.doctor.headers).headers


@pytest.mark.parametrize("value", ["0", "-1", "600", '"off"', "null", "1e300"])
def test_security_04_the_idle_time_cannot_be_switched_off(
    value: str, make_own_app: MakeApp, make_login: MakeLogin, databases: Databases
) -> None:
    """Whatever stands in the settings table, a session is idle after 15 minutes at the latest."""
    app = make_own_app()
    browser = Browser(app)
    browser.sign_in(make_login())
    change(databases, "UPDATE settings SET value = CAST(:v AS jsonb) WHERE key = 'session.idle_minutes'", v=value)
    try:
        assert browser.get("/api/me").status_code == 200
        age_session(databases, browser, "last_seen_at", "15 minutes 1 second")
        assert browser.get("/api/me").status_code == 401
    finally:
        change(databases, "UPDATE settings SET value = '15' WHERE key = 'session.idle_minutes'")


def test_security_07_cookies_in_production(make_own_app: MakeApp, make_login: MakeLogin) -> None:
    browser = Browser(make_own_app(sigilo_env="production"), base_url="https://localhost")
    login = make_login()
    visit = browser.get("/login").headers.getlist("Set-Cookie")
    answer = browser.sign_in(login)
    assert answer.status_code == 303
    cookies = [*visit, *answer.headers.getlist("Set-Cookie")]
    assert any(cookie.startswith("__Host-sigilo=") for cookie in cookies)
    for cookie in cookies:
        parts = {part.strip() for part in cookie.split(";")}
        assert cookie.startswith("__Host-")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= parts
        assert not any(part.startswith("Domain") for part in parts)


def test_security_07_cookies_in_development_work_without_https(browser: Browser, make_login: MakeLogin) -> None:
    answer = browser.sign_in(make_login())
    cookie = next(c for c in answer.headers.getlist("Set-Cookie") if c.startswith("sigilo="))
    assert "Secure" not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_somebody_with_several_roles_chooses_one(browser: Browser, make_login: MakeLogin) -> None:
    login = make_login("DOCTOR", "ADMIN")
    page = browser.sign_in(login)
    assert page.status_code == 200
    assert browser.cookie() is None, "not signed in before a role is chosen"
    choice = re.search(r'name="choice" value="([^"]+)"', page.get_data(as_text=True))
    assert choice is not None
    token = csrf_of(page)
    elsewhere = Browser(browser.client.application)
    stolen = elsewhere.post("/login", {"choice": choice[1], "role": "ADMIN"})
    assert stolen.status_code == 401, "the proof of the password is bound to this browser"
    refused = browser.client.post("/login", data={"choice": choice[1], "role": "AUDITOR", "csrf_token": token})
    assert refused.status_code == 422
    taken = browser.client.post("/login", data={"choice": choice[1], "role": "ADMIN", "csrf_token": token})
    assert taken.status_code == 303
    assert browser.get("/api/me").get_json()["role"] == "ADMIN"
    assert browser.get("/api/medical-records").status_code == 200
    assert browser.client.post(
        "/api/visits", json={}, headers={"X-CSRFToken": csrf_of(browser.get("/"))}
    ).status_code in (
        403,
        404,
    )


def test_losing_a_role_ends_what_acts_in_it(browser: Browser, make_login: MakeLogin, databases: Databases) -> None:
    login = make_login("NURSE")
    browser.sign_in(login)
    change(
        databases,
        "DELETE FROM user_roles WHERE user_id = (SELECT id FROM users WHERE email = :e)",
        e=login.email,
    )
    assert browser.get("/api/me").status_code == 401


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:1", "/ok\n"]
)
def test_a_sign_in_leads_nowhere_else(target: str, browser: Browser, make_login: MakeLogin) -> None:
    assert browser.sign_in(make_login(), next=target).headers["Location"] == "/"


def test_a_sign_in_leads_on_to_the_page_that_was_asked_for(browser: Browser, make_login: MakeLogin) -> None:
    assert browser.get("/password").headers["Location"] == "/login?next=/password"
    assert browser.sign_in(make_login(), next="/password").headers["Location"] == "/password"


def test_a_given_password_must_be_changed_first(browser: Browser, make_login: MakeLogin, databases: Databases) -> None:
    login = make_login()
    change(databases, "UPDATE users SET must_change_password = true WHERE email = :e", e=login.email)
    browser.sign_in(login)
    assert browser.get("/").headers["Location"] == "/password"
    assert browser.get("/api/me").status_code == 403
    new = "outra frase bem comprida"
    fields = {"currentPassword": login.password, "newPassword": "curta", "repeatedPassword": "curta"}
    assert browser.post("/password", fields).status_code == 422
    fields = {"currentPassword": "a wrong password", "newPassword": new, "repeatedPassword": new}
    assert browser.post("/password", fields).status_code == 422
    fields["currentPassword"] = login.password
    assert browser.post("/password", fields).status_code == 303
    assert browser.get("/").status_code == 200
    assert Browser(browser.client.application).sign_in(Login(login.email, new)).status_code == 303
    assert ("user.change_password", "success") in events_of(databases, login.email)


def test_changing_the_password_often_locks_nobody_out(
    make_own_app: MakeApp, make_login: MakeLogin, databases: Databases
) -> None:
    address, login = new_address(), make_login()
    browser = Browser(make_own_app(), address)
    browser.sign_in(login)
    for number in range(2):
        new = f"uma frase longa, a de número {number}"
        fields = {"currentPassword": login.password, "newPassword": new, "repeatedPassword": new}
        assert browser.post("/password", fields).status_code == 303
        login = Login(login.email, new)
    assert rows(databases, "SELECT failures FROM login_failures WHERE key = :k", k=address)[0].failures == 0
