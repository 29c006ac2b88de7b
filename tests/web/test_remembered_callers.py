"""A caller who is remembered from a moment ago: revoked at the next request all the same (SECURITY 3, 22)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, g

from config import Principal, Settings
from models import Role
from models.engine import Databases
from services.audit_event import SYSTEM
from services.authenticate import LOOK_UP_BEARER
from services.field_encryption import field_cipher
from services.token_revoke import revoke_token
from services.user_disable import disable_user
from tests.factories.cast import Cast, Person, make_person
from tests.web.conftest import MakeApp
from tests.web.remembered import ENDS, LIST, at_a_browser, change, counted, doctor, events_of, read, remember
from tests.web.test_access_matrix import Scene, request_for
from web.guards import route_table

__all__ = ["doctor"]


def test_a_remembered_caller_reads_by_one_statement(app: Flask, doctor: Person, databases: Databases) -> None:
    with counted() as first:
        read(app, doctor)
    with counted() as second:
        answer = read(app, doctor)
    assert (len(first), first[0] == LOOK_UP_BEARER) == (2, True)
    assert (len(second), LOOK_UP_BEARER in second) == (1, False)
    assert events_of(databases, answer) == ["medical_record.list success"]


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
        lambda session, person: revoke_token(session, at_a_browser(cast.admin), person.id, person.token_id),
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
        revoke_token(session, at_a_browser(cast.admin), doctor.id, doctor.token_id)
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


def test_every_route_that_lets_callers_be_remembered_confirms_them(
    app: Flask, databases: Databases, settings: Settings, cast: Cast
) -> None:
    ids = Scene(databases, settings, cast).ids()
    routes = [route for route in route_table(app).values() if route.confirms_caller]
    assert len(routes) >= 7
    # Others of this run used the token too; one whose minute is about to end is remembered by nobody.
    change(databases, "UPDATE api_tokens SET last_used_at = now() WHERE user_id = :user", cast.doctor)
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
