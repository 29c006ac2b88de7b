"""A request's session connects as who acts in it, and commits before its answer leaves."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from config import Principal
from models import Patient, Setting
from models.engine import Databases
from services.errors import Conflict
from tests.factories.cast import Cast
from tests.web.conftest import Browser, MakeApp
from web.api.answers import json_answer
from web.database import db, unit_of_work
from web.guards import PUBLIC, SIGNED_IN, Limit, Routes


def whose() -> Any:
    with unit_of_work() as session:
        return json_answer(
            {
                "role": session.scalar(text("SELECT current_user")),
                "patients": sorted(str(found) for found in session.scalars(select(Patient.id)))
                if session.scalar(text("SELECT has_table_privilege('patients', 'SELECT')"))
                else None,
            }
        )


def write(value: str, *, fail: bool = False) -> Any:
    with unit_of_work() as session:
        session.merge(Setting(key="test.unit_of_work", value=value))
        session.flush()
        if fail:
            raise Conflict("no")
    return json_answer({})


def cannot_commit() -> Any:
    """Its statements work; the commit does not, as when the connection breaks at the last moment."""
    with unit_of_work() as session:
        session.merge(Setting(key="test.unit_of_work", value="lost"))
        session.flush()
        driver: Any = session.connection().connection.driver_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
    return json_answer({"shown": "although nothing was kept"})


@pytest.fixture
def app_with_routes(make_own_app: MakeApp) -> Flask:
    routes = Routes("units")
    routes.add("/api/whose", view=whose, guard=PUBLIC, endpoint="whose")
    routes.add("/api/write", view=lambda: write("kept"), guard=SIGNED_IN, methods=["POST"], endpoint="write")
    routes.add("/api/fail", view=lambda: write("lost", fail=True), guard=SIGNED_IN, methods=["POST"], endpoint="fail")
    routes.add("/api/broken-commit", view=cannot_commit, guard=SIGNED_IN, methods=["POST"], endpoint="broken")
    routes.add("/api/unlimited", view=whose, guard=PUBLIC, limit=Limit.NONE, endpoint="unlimited")
    return make_own_app(routes)


def kept(databases: Databases) -> Any:
    with databases.session(Principal.STAFF) as session:
        return session.scalar(select(Setting.value).where(Setting.key == "test.unit_of_work"))


def test_each_caller_has_their_own_database_role(app_with_routes: Flask, cast: Cast) -> None:
    client = Browser(app_with_routes).client

    def shown(headers: dict[str, str]) -> Any:
        return client.get("/api/whose", headers=headers).get_json()

    assert shown(cast.doctor.headers)["role"] == "sigilo_staff"
    assert shown(cast.admin.headers)["role"] == "sigilo_staff"
    assert shown({}) == {"role": "sigilo_anonymous", "patients": None}
    assert shown(cast.patient.headers) == {"role": "sigilo_patient", "patients": [str(cast.patient_id)]}
    assert shown(cast.stranger.headers) == {"role": "sigilo_patient", "patients": [str(cast.stranger_id)]}


def test_security_21_nothing_leaks_over_a_pooled_connection(app_with_routes: Flask, cast: Cast) -> None:
    """Patients take turns on the same few connections; each sees their own row, always."""
    client = Browser(app_with_routes).client
    for _ in range(20):
        for person, own in ((cast.patient, cast.patient_id), (cast.stranger, cast.stranger_id)):
            assert client.get("/api/whose", headers=person.headers).get_json()["patients"] == [str(own)]


def test_a_unit_of_work_is_kept_or_not_as_a_whole(app_with_routes: Flask, cast: Cast, databases: Databases) -> None:
    client = Browser(app_with_routes).client
    assert client.post("/api/write", headers=cast.admin.headers).status_code == 200
    assert kept(databases) == "kept"
    assert client.post("/api/fail", headers=cast.admin.headers).status_code == 409
    assert kept(databases) == "kept"


def test_what_cannot_be_committed_is_not_shown(app_with_routes: Flask, cast: Cast, databases: Databases) -> None:
    client = Browser(app_with_routes).client
    answer = client.post("/api/broken-commit", headers=cast.admin.headers)
    assert answer.status_code == 503
    assert "although" not in answer.get_data(as_text=True)
    assert kept(databases) != "lost"
    assert client.get("/api/whose", headers=cast.admin.headers).status_code == 200, "the pool has recovered"


def test_sessions_and_audited_reads_share_one_pool_per_principal(app: Flask, databases: Databases) -> None:
    with app.app_context():
        assert db.engines[Principal.STAFF] is databases.engine(Principal.STAFF)
        assert set(db.engines) == {Principal.STAFF, Principal.PATIENT, Principal.ANONYMOUS, Principal.AUDITOR}
