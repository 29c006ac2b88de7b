"""``/rate-limits``: quotas in force, who ran into them, and quotas of one's own, each change kept and audited."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import select

from config import Principal, Settings
from models import ApiToken, AuditOutbox, RateLimitLog, User, UserVersion, new_id
from models.engine import Databases
from services.actor import Actor
from services.errors import Conflict, Forbidden, Invalid
from services.field_encryption import field_cipher
from services.rate_limit_list import LimitFilters, count_refused, list_limited
from services.token_quota_set import set_token_quota
from services.user_quota_set import set_user_quota
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, Person, make_person
from tests.services.test_query_counts import counted
from tests.web.conftest import Browser

HTMX = {"HX-Request": "true"}


@pytest.fixture
def admin(app: Flask, databases: Databases, cast: Cast) -> Browser:
    browser = Browser(app)
    browser.client.set_cookie("sigilo", open_session(databases, cast.admin), domain="localhost")
    return browser


@pytest.fixture
def caller(databases: Databases, cast: Cast) -> Person:
    """Somebody of whom nothing stands in the log yet."""
    return make_person(databases, cast.doctor.actor.role, f"Integrador {uuid.uuid4().hex[:8]}")


def log(
    databases: Databases, person: Person, outcome: str = "refused", hours: float = 0.1, now: datetime | None = None
) -> None:
    with databases.session(Principal.STAFF) as session:
        session.add(
            RateLimitLog(
                id=new_id(), occurred_at=(now or datetime.now(UTC)) - timedelta(hours=hours), bucket="api",
                outcome=outcome, user_id=person.id, ip="203.0.113.9", route="/api/patients/<uuid:patient_id>",
                quota="20/60s", retry_after=17 if outcome == "refused" else None,
            )
        )  # fmt: skip


def at_browser(person: Person) -> Actor:
    """Their actor as a session has it: managing is for no token."""
    return replace(person.actor, scopes=None, token_id=None)


def token_of(databases: Databases, person: Person) -> uuid.UUID:
    with databases.session(Principal.STAFF) as session:
        return session.scalars(select(ApiToken.id).where(ApiToken.user_id == person.id)).one()


def test_the_quotas_in_force_and_who_ran_into_them(admin: Browser, databases: Databases, caller: Person) -> None:
    log(databases, caller)
    log(databases, caller, "near", hours=0.5)
    log(databases, caller, hours=30)
    page = admin.get(f"/rate-limits?user={caller.id}").get_data(as_text=True)
    assert "20 por minuto" in page
    assert "RATE_LIMIT_DEFAULT" in page
    assert page.count("203.0.113.9") == 2, "of the last day"
    assert "esperar 17 s" in page
    assert "/api/patients/&lt;uuid:patient_id&gt;" in page, "the rule, never the path"
    for query, lines in {"&period=7d": 3, "&outcome=near": 1, "&bucket=login": 0, "&period=1h": 2}.items():
        found = admin.get(f"/rate-limits?user={caller.id}{query}", headers={**HTMX, "HX-Target": "div#log"})
        assert found.get_data(as_text=True).count("203.0.113.9") == lines, query
        assert "<html" not in found.get_data(as_text=True)


@pytest.mark.parametrize("query", ["period=2h", "bucket=x", "user=1", "outcome=maybe", "cursor=zzz", "nobody=1"])
def test_a_filter_that_is_none_is_refused(admin: Browser, query: str) -> None:
    assert admin.get(f"/rate-limits?{query}").status_code == 422


def test_the_log_is_endless_and_costs_the_same_however_long(
    admin: Browser, databases: Databases, caller: Person
) -> None:
    for _ in range(3):
        log(databases, caller)
    path = f"/rate-limits?user={caller.id}&period=7d"
    with counted(databases) as few:
        admin.get(path)
    for number in range(60):
        log(databases, caller, hours=number / 10)
    with counted(databases) as many:
        page = admin.get(path).get_data(as_text=True)
    assert len(many) == len(few)
    link = re.search(r'hx-get="(/rate-limits\?[^"]*cursor=[^"]+)"', page)
    assert link is not None
    answer = admin.get(link[1].replace("&amp;", "&"), headers={**HTMX, "HX-Target": "tbody#more-log"})
    more = answer.get_data(as_text=True)
    assert page.count("203.0.113.9") + more.count("203.0.113.9") == 63
    assert "cursor=" not in more


def test_refused_per_hour_counts_by_the_clinics_clock(databases: Databases, cast: Cast, caller: Person) -> None:
    zone, now = ZoneInfo("America/Sao_Paulo"), datetime.now(UTC)
    for hours in (0, 2, 2):
        log(databases, caller, hours=hours, now=now)
    log(databases, caller, "near", hours=2, now=now)
    with databases.session(Principal.STAFF) as session:
        hourly = count_refused(session, at_browser(cast.admin), LimitFilters(user_id=caller.id), zone, now)
        daily = count_refused(session, at_browser(cast.admin), LimitFilters("7d", user_id=caller.id), zone, now)
        with pytest.raises(Forbidden):
            count_refused(session, at_browser(cast.doctor), LimitFilters(), zone, now)
        with pytest.raises(Forbidden):
            list_limited(session, at_browser(cast.auditor), LimitFilters())
    assert (len(hourly), len(daily)) == (24, 7)
    assert [count for _, count in hourly if count] == [2, 1]
    assert hourly[-1][0].astimezone(zone).minute == 0
    assert sum(count for _, count in daily) == 3


def test_a_users_quota_is_changed_kept_and_audited(
    admin: Browser, databases: Databases, settings: Settings, cast: Cast, caller: Person
) -> None:
    page = f"/rate-limits/users/{caller.id}"
    answer = admin.post(page, {"requests": "90", "per": "minute"})
    assert answer.headers["Location"] == "/rate-limits?done=quota-saved"
    shown = admin.get(page).get_data(as_text=True)
    assert 'value="90"' in shown
    with databases.session(Principal.WORKER) as session:
        user = session.get_one(User, caller.id)
        assert (user.quota, user.version) == ("90/minute", 2)
        event = session.scalars(select(AuditOutbox).where(AuditOutbox.entity_id == caller.id)).one()
    assert (event.action, event.from_version, event.to_version) == ("user.update", 1, 2)
    assert [change["field"] for change in event.changes or ()] == ["quota"]
    with databases.session(Principal.STAFF) as session:
        version = session.get_one(UserVersion, (caller.id, 2))
        assert version.content["quota"] == "90/minute"
        again = set_user_quota(session, at_browser(cast.admin), field_cipher(settings), caller.id, "90/minute")
        assert again.version == 2, "the same quota is no change"
    admin.post(page, {"requests": "", "per": "minute"})
    assert "a padrão" in admin.get("/rate-limits").get_data(as_text=True)


def test_a_tokens_quota_is_changed_and_audited_without_its_secret(
    admin: Browser, databases: Databases, caller: Person
) -> None:
    token_id = token_of(databases, caller)
    assert admin.post(f"/rate-limits/tokens/{token_id}", {"requests": "5", "per": "second"}).status_code == 303
    page = admin.get(f"/rate-limits/tokens/{token_id}").get_data(as_text=True)
    assert 'value="5"' in page
    assert caller.headers["Authorization"].split()[1] not in page
    with databases.session(Principal.WORKER) as session:
        event = session.scalars(select(AuditOutbox).where(AuditOutbox.entity_id == token_id)).one()
        assert session.get_one(ApiToken, token_id).quota == "5/second"
    assert event.action == "token.update"
    assert [change["field"] for change in event.changes or ()] == ["quota"]


@pytest.mark.parametrize(
    "fields",
    [{"requests": "0", "per": "minute"}, {"requests": "many", "per": "minute"}, {"requests": "5", "per": "week"}],
)
def test_a_quota_that_is_none_changes_nothing_and_stays_typed(
    admin: Browser, databases: Databases, caller: Person, fields: dict[str, str]
) -> None:
    answer = admin.post(f"/rate-limits/users/{caller.id}", fields)
    assert answer.status_code == 422
    assert f'value="{fields["requests"]}"' in answer.get_data(as_text=True)
    with databases.session(Principal.STAFF) as session:
        assert session.scalar(select(User.quota).where(User.id == caller.id)) is None


def test_nobody_changes_their_own_quota(
    admin: Browser, databases: Databases, settings: Settings, cast: Cast
) -> None:
    answer = admin.post(f"/rate-limits/users/{cast.admin.id}", {"requests": "999", "per": "second"})
    assert answer.status_code == 403
    assert "Ninguém altera a própria cota" in answer.get_data(as_text=True)
    token_id, cipher = token_of(databases, cast.admin), field_cipher(settings)
    with databases.session(Principal.STAFF) as session:
        with pytest.raises(Forbidden):
            set_token_quota(session, at_browser(cast.admin), cipher, token_id, "9/second")
        with pytest.raises(Forbidden):
            set_user_quota(session, at_browser(cast.doctor), cipher, cast.nurse.id, "9/second")
        with pytest.raises(Invalid):
            set_user_quota(session, at_browser(cast.admin), cipher, cast.nurse.id, "9 a minute")


def test_a_revoked_token_has_no_quota(databases: Databases, settings: Settings, cast: Cast, caller: Person) -> None:
    with databases.session(Principal.STAFF) as session:
        token = session.get_one(ApiToken, token_of(databases, caller))
        token.revoked_at = datetime.now(UTC)
        session.flush()
        with pytest.raises(Conflict):
            set_token_quota(session, at_browser(cast.admin), field_cipher(settings), token.id, "9/second")


def test_a_redis_that_is_away_is_said(app: Flask, admin: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "O Redis não responde" not in admin.get("/rate-limits").get_data(as_text=True)
    monkeypatch.setattr(app.extensions["sigilo"].store, "_is_open", True)
    assert "O Redis não responde" in admin.get("/rate-limits").get_data(as_text=True)
