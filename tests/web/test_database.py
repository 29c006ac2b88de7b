"""A request's session connects as who acts in it, and commits before its answer leaves."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from config import Principal, Settings
from models import Patient, Setting
from models.engine import Databases
from services.errors import Conflict
from tests.factories.cast import Cast
from tests.web.conftest import Browser, MakeApp
from web.api.answers import json_answer
from web.api.idempotent import create_once
from web.authentication import current_actor
from web.database import db, unit_of_work
from web.guards import PUBLIC, SIGNED_IN, Limit, Routes
from web.problems import COMMIT_UNCERTAIN


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
        create_once(session, current_actor(), "test", b"{}", "setting", uuid.uuid4)
        driver: Any = session.connection().connection.driver_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
    return json_answer({"shown": "although nothing was kept"})


def unit_routes() -> Routes:
    routes = Routes("units")
    routes.add("/api/whose", view=whose, guard=PUBLIC, endpoint="whose")
    routes.add("/api/renew", view=lambda: write(uuid.uuid4().hex), guard=SIGNED_IN, methods=["POST"], endpoint="renew")
    routes.add("/api/write", view=lambda: write("kept"), guard=SIGNED_IN, methods=["POST"], endpoint="write")
    routes.add("/api/fail", view=lambda: write("lost", fail=True), guard=SIGNED_IN, methods=["POST"], endpoint="fail")
    routes.add(
        "/api/broken-commit", view=cannot_commit, guard=SIGNED_IN, methods=["GET", "POST"], endpoint="broken"
    )  # fmt: skip
    routes.add("/api/unlimited", view=whose, guard=PUBLIC, limit=Limit.NONE, endpoint="unlimited")
    return routes


@pytest.fixture
def app_with_routes(make_own_app: MakeApp) -> Flask:
    return make_own_app(unit_routes())


@pytest.fixture
def own_databases(settings: Settings) -> Iterator[Databases]:
    """The same database, over connections of the test's own."""
    made = Databases({principal.value: settings.url_for(principal) for principal in Principal})
    yield made
    made.dispose()


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
    # Whether it was stored nobody can know, so nobody is told that nothing was changed.
    assert answer.get_json()["detail"] == COMMIT_UNCERTAIN
    assert answer.get_json()["type"] == "urn:sigilo:problem:commit-uncertain"
    assert "Retry-After" not in answer.headers, "whoever sends it again may store it twice"
    assert kept(databases) != "lost"
    assert client.get("/api/whose", headers=cast.admin.headers).status_code == 200, "the pool has recovered"


def test_what_is_stored_once_or_stores_nothing_may_be_sent_again_when_nobody_knows(
    app_with_routes: Flask, cast: Cast
) -> None:
    client = Browser(app_with_routes).client
    keyed = client.post("/api/broken-commit", headers=cast.admin.headers | {"Idempotency-Key": uuid.uuid4().hex})
    read = client.get("/api/broken-commit", headers=cast.admin.headers)
    for answer in (keyed, read):
        assert answer.get_json()["type"] == "urn:sigilo:problem:commit-uncertain"
        assert int(answer.headers["Retry-After"]) > 0


def test_a_server_that_takes_no_writes_is_away_and_left_behind(
    make_own_app: MakeApp, cast: Cast, databases: Databases, own_databases: Databases
) -> None:
    """As a primary that became a standby behind the same name, or whose operator stopped writing."""
    client = Browser(make_own_app(unit_routes(), over=own_databases)).client

    def write_and_read() -> list[int]:
        written = client.post("/api/renew", headers=cast.admin.headers)
        read = client.get(f"/api/patients/{cast.patient_id}", headers=cast.doctor.headers)
        return [written.status_code, read.status_code]

    with take_no_writes(databases):
        assert write_and_read() == [503, 503]
    assert write_and_read() == [200, 200], "what was connected to it is closed"


@contextmanager
def take_no_writes(databases: Databases) -> Iterator[None]:
    """New connections begin read-only transactions."""
    with databases.engine(Principal.MIGRATOR).connect() as connection:
        name = connection.scalar(text("SELECT quote_ident(current_database())"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        connection.commit()
        try:
            yield
        finally:
            connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
            connection.commit()


def test_sessions_and_audited_reads_share_one_pool_per_principal(app: Flask, databases: Databases) -> None:
    with app.app_context():
        assert db.engines[Principal.STAFF] is databases.engine(Principal.STAFF)
        assert set(db.engines) == {Principal.STAFF, Principal.PATIENT, Principal.ANONYMOUS, Principal.AUDITOR}
