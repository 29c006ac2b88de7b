"""A caller who is remembered from a moment ago: revoked at the next request all the same (SECURITY 3, 22)."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from flask import Flask, g
from pydantic import SecretStr
from sqlalchemy import text

from config import Principal, Settings
from integrations.cache import RedisCache
from models import Role
from models.engine import Databases
from models.raw_connection import RawConnection
from services.audit_event import SYSTEM
from services.authenticate import LOOK_UP_BEARER
from services.field_encryption import field_cipher
from services.token_quota_set import set_token_quota
from services.token_revoke import revoke_token
from services.user_disable import disable_user
from services.user_quota_set import set_user_quota
from tests.factories.cast import Cast, Person, make_person
from tests.web.conftest import Browser, MakeApp
from tests.web.test_access_matrix import Scene, request_for
from web.guards import route_table

LIST = "/api/medical-records?limit=1"


@pytest.fixture
def doctor(databases: Databases) -> Person:
    """A doctor of the test's own, whose token nobody has looked up yet."""
    return make_person(databases, Role.DOCTOR, "Lia Campos")


@contextmanager
def counted() -> Iterator[list[str]]:
    """Collects the raw statements that are run meanwhile."""
    sent: list[str] = []
    original = RawConnection.first_row

    def noting(self: RawConnection, statement: str, parameters: Any) -> Any:
        sent.append(statement)
        return original(self, statement, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RawConnection, "first_row", noting)
        yield sent


def read(app: Flask, person: Person, path: str = LIST) -> Any:
    return Browser(app).client.get(path, headers=person.headers)


def remember(app: Flask, person: Person) -> None:
    assert read(app, person).status_code == 200
    assert app.extensions["sigilo"].callers.recall(person.token) is not None


def change(databases: Databases, statement: str, person: Person) -> None:
    """Behind every service's back, as an operator at psql would."""
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(text(statement), {"user": person.id, "token": person.token_id})


def events_of(databases: Databases, answer: Any) -> list[str]:
    with databases.session(Principal.WORKER) as session:
        return list(
            session.scalars(
                text("SELECT action || ' ' || outcome FROM audit_outbox WHERE request_id = :id"),
                {"id": answer.headers["X-Request-Id"]},
            )
        )


def test_a_remembered_caller_reads_by_one_statement(app: Flask, doctor: Person, databases: Databases) -> None:
    with counted() as first:
        read(app, doctor)
    with counted() as second:
        answer = read(app, doctor)
    assert (len(first), first[0] == LOOK_UP_BEARER) == (2, True)
    assert (len(second), LOOK_UP_BEARER in second) == (1, False)
    assert events_of(databases, answer) == ["medical_record.list success"]


ENDS = {
    "revoked": "UPDATE api_tokens SET revoked_at = now() WHERE id = :token",
    "expired": "UPDATE api_tokens SET expires_at = now() WHERE id = :token",
    "user disabled": "UPDATE users SET disabled_at = now() WHERE id = :user",
    "role taken": "DELETE FROM user_roles WHERE user_id = :user",
    "token gone": "DELETE FROM api_tokens WHERE id = :token",
}


@pytest.mark.parametrize("how", ENDS)
def test_security_22_whoever_lost_the_right_is_refused_at_the_next_request(
    app: Flask, make_own_app: MakeApp, doctor: Person, databases: Databases, how: str
) -> None:
    other = make_own_app()
    for each in (app, other):
        remember(each, doctor)
    change(databases, ENDS[how], doctor)
    for each in (app, other):
        answer = read(each, doctor)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert events_of(databases, answer) == [], "nothing was read"
        assert read(each, doctor).status_code == 401


def test_security_22_the_services_that_revoke_do_so_at_once(
    app: Flask, databases: Databases, settings: Settings, cast: Cast
) -> None:
    cipher = field_cipher(settings)
    acts: tuple[Callable[[Any, Person], object], ...] = (
        lambda session, person: revoke_token(session, cast.admin.actor, person.id, person.token_id),
        lambda session, person: disable_user(session, SYSTEM, cipher, email=person.email),
    )
    for act in acts:
        person = make_person(databases, Role.DOCTOR, "Lia Campos")
        remember(app, person)
        with databases.session(Principal.STAFF) as session:
            act(session, person)
        assert read(app, person).status_code == 401


def test_a_revocation_that_is_not_committed_yet_revokes_nothing_yet(
    app: Flask, doctor: Person, databases: Databases, cast: Cast
) -> None:
    remember(app, doctor)
    with databases.session(Principal.STAFF) as session:
        revoke_token(session, cast.admin.actor, doctor.id, doctor.token_id)
        assert read(app, doctor).status_code == 200, "and nothing waits for it"
    assert read(app, doctor).status_code == 401


def test_security_22_other_refusals_are_for_those_alone_who_may_ask(
    app: Flask, doctor: Person, databases: Databases
) -> None:
    """What would be refused before anything is read says 401 all the same."""
    remember(app, doctor)
    assert read(app, doctor, f"{LIST}&cursor=none").status_code == 422
    assert read(app, doctor, "/api/medical-records?limit=0").status_code == 422
    change(databases, ENDS["revoked"], doctor)
    for path in (f"{LIST}&cursor=none", "/api/medical-records?limit=0", f"/api/patients/{uuid.uuid4()}"):
        assert read(app, doctor, path).status_code == 401


def test_security_22_a_guard_asks_who_it_really_is(app: Flask, databases: Databases) -> None:
    person = make_person(databases, Role.DOCTOR, "Lia Campos", scopes=["patients:read"])
    assert read(app, person, "/api/patients?limit=1").status_code == 200
    assert read(app, person).status_code == 403
    change(databases, "UPDATE api_tokens SET scopes = ARRAY['records:read'] WHERE id = :token", person)
    assert read(app, person).status_code == 200
    assert read(app, person, "/api/patients?limit=1").status_code == 403
    change(databases, ENDS["revoked"], person)
    assert read(app, person, "/api/patients?limit=1").status_code == 401


def policy(answer: Any) -> str:
    return str(answer.headers["RateLimit-Policy"])


def test_a_quota_counts_from_the_next_request_on(
    app: Flask, doctor: Person, databases: Databases, settings: Settings, cast: Cast
) -> None:
    cipher = field_cipher(settings)

    def give(token: str | None, user: str | None) -> None:
        with databases.session(Principal.STAFF) as session:
            set_token_quota(session, cast.admin.actor, cipher, doctor.token_id, token)
            set_user_quota(session, cast.admin.actor, cipher, doctor.id, user)

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


def test_every_route_that_lets_callers_be_remembered_confirms_them(
    app: Flask, databases: Databases, settings: Settings, cast: Cast
) -> None:
    ids = Scene(databases, settings, cast).ids()
    routes = [route for route in route_table(app).values() if route.confirms_caller]
    assert len(routes) >= 7
    for route in routes:
        assert route.methods == ("GET",), "what writes is written by somebody who was looked up"
        path, _ = request_for("GET", route.rule, ids)
        client = app.test_client()
        client.get(path, headers=cast.doctor.headers)
        with client, counted() as sent:
            assert client.get(path, headers=cast.doctor.headers).status_code == 200
            assert g.actor.standing.is_confirmed, route.rule
        assert LOOK_UP_BEARER not in sent, route.rule


def test_what_reads_nothing_looks_its_caller_up(app: Flask, doctor: Person, databases: Databases) -> None:
    remember(app, doctor)
    with counted() as sent:
        assert read(app, doctor, "/api/me").status_code == 200
    assert sent == [LOOK_UP_BEARER]
    change(databases, "UPDATE users SET full_name = 'Lia C. Prado' WHERE id = :user", doctor)
    assert read(app, doctor, "/api/me").get_json()["name"] == "Lia C. Prado"


def test_patients_are_not_remembered(app: Flask, cast: Cast) -> None:
    assert read(app, cast.patient).status_code == 200
    assert app.extensions["sigilo"].callers.recall(cast.patient.token) is None


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
    server = redis.Redis.from_url(redis_url)
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
