"""Health endpoints and metrics: what orchestrators, operators and Prometheus are told."""

from __future__ import annotations

import math
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import text

from config import Principal, Settings
from migrations.run import head
from models.advisory_locks import SCHEDULER
from models.engine import Databases
from models.raw_connection import RawConnection
from observability.exposition import forget_dead_processes
from services.health import check_background, check_database
from tests.factories.cast import Cast
from tests.web.conftest import Browser, MakeApp
from tests.web.live_server import live_server
from web.health import REVISION

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
def nowhere(make_own_app: MakeApp) -> FlaskClient:
    """An application whose servers are all away."""
    databases = Databases(dict.fromkeys(Principal, NOWHERE))
    app = make_own_app(over=databases, redis_url=SecretStr("redis://127.0.0.1:1/0"))
    return Browser(app).client


def test_the_schema_expected_is_the_newest_migration() -> None:
    assert head() == REVISION


def test_ready_says_what_it_needs(app: Flask) -> None:
    answer = Browser(app).client.get("/readyz")
    assert answer.status_code == 200
    shown = answer.get_json()
    assert shown["status"] == "ok"
    assert {name: part["status"] for name, part in shown["dependencies"].items()} == {"database": "ok", "redis": "ok"}
    assert all(part["latencyMs"] >= 0 for part in shown["dependencies"].values())


def test_ready_is_503_without_a_database_and_live_is_not(nowhere: FlaskClient) -> None:
    assert nowhere.get("/livez").status_code == 200
    answer = nowhere.get("/readyz")
    assert answer.status_code == 503
    assert "127.0.0.1" not in answer.get_data(as_text=True), "addresses are nobody's business"
    health = nowhere.get("/api/health")
    assert health.status_code == 503
    assert health.get_json()["dependencies"]["database"]["status"] == "down"


def test_ready_without_redis_is_degraded_and_health_says_so(make_own_app: MakeApp) -> None:
    client = Browser(make_own_app(redis_url=SecretStr("redis://127.0.0.1:1/0"))).client
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()["status"]) == (200, "degraded")
    assert client.get("/api/health").status_code == 503


def test_another_schema_is_not_ready(fresh_databases: Databases) -> None:
    assert check_database(fresh_databases, REVISION).status == "ok"
    with fresh_databases.session(Principal.MIGRATOR) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    finding = check_database(fresh_databases, REVISION)
    assert finding.status == "down"
    assert "sigilo db upgrade" in str(finding.note)


def test_the_trail_is_judged_by_how_long_events_wait(fresh_databases: Databases, cast: Cast) -> None:
    assert check_background(fresh_databases)["trail"].status == "ok"
    for seconds, status in ((5, "ok"), (30, "degraded"), (120, "down")):
        with fresh_databases.session(Principal.WORKER) as session:
            session.execute(text("DELETE FROM audit_outbox"))
            session.execute(
                text(
                    "INSERT INTO audit_outbox (id, occurred_at, action, outcome) "
                    "VALUES (gen_random_uuid(), now() - make_interval(secs => :s), 'test', 'success')"
                ),
                {"s": seconds},
            )
        assert check_background(fresh_databases)["trail"].status == status


def test_the_scheduler_is_judged_by_its_lock(fresh_databases: Databases) -> None:
    assert check_background(fresh_databases)["scheduler"].status == "down"
    with fresh_databases.autocommit(Principal.WORKER) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (SCHEDULER,))
        assert check_background(fresh_databases)["scheduler"].status == "ok"
        connection.execute("SELECT pg_advisory_unlock(%s)", (SCHEDULER,))


def test_health_needs_no_login_and_is_kept_for_a_second(app: Flask) -> None:
    client = Browser(app).client
    first = client.get("/api/health").get_json()["dependencies"]["database"]
    second = client.get("/api/health").get_json()["dependencies"]["database"]
    assert first == second, "the very same measurement"
    parts = set(client.get("/api/health").get_json()["dependencies"])
    assert parts == {"database", "redis", "worker", "trail", "scheduler", "backups"}


def test_an_act_without_a_database_is_503_and_shows_nothing(nowhere: FlaskClient, cast: Cast) -> None:
    answer = nowhere.get("/api/medical-records", headers=cast.doctor.headers)
    assert answer.status_code == 503
    assert answer.mimetype == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    nowhere.set_cookie("sigilo", "x")
    page = nowhere.get("/login", headers={"Accept": "text/html"})
    assert page.status_code == 503
    assert page.mimetype == "text/html"
    assert "/static/" in page.get_data(as_text=True), "the page itself, not its plain stand-in"


def test_metrics_are_by_route_and_for_allowed_networks(make_own_app: MakeApp, cast: Cast) -> None:
    app = make_own_app(metrics_networks=(ip_network("10.9.0.0/16"),), metrics_token=SecretStr("a token of Prometheus"))
    Browser(app).client.get("/api/me", headers=cast.doctor.headers)
    Browser(app).client.get(f"/api/medical-records/{cast.patient_id}", headers=cast.doctor.headers)
    inside = Browser(app, "10.9.1.1").client.get("/metrics")
    assert inside.status_code == 200
    assert str(cast.patient_id) not in inside.get_data(as_text=True)
    rules = {
        sample.labels.get("url_rule")
        for family in text_string_to_metric_families(inside.get_data(as_text=True))
        for sample in family.samples
    }
    assert {"/api/me", "/api/medical-records/<uuid:record_id>"} <= rules
    through_a_proxy = {"X-Forwarded-For": "203.0.113.7"}
    assert Browser(app, "10.9.1.1").client.get("/metrics", headers=through_a_proxy).status_code == 403
    outside = Browser(app, "10.8.1.1").client
    assert outside.get("/metrics").status_code == 403
    for token, status in (("a token of Prometheus", 200), ("another", 403), ("", 403)):
        assert outside.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == status


def test_metrics_of_a_database_that_is_away_cost_one_attempt(
    nowhere: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    connect = RawConnection.connect

    def counted(url: str, **options: Any) -> RawConnection:
        tried.append(url)
        return connect(url, **options)

    monkeypatch.setattr(RawConnection, "connect", counted)
    body = nowhere.get("/metrics", environ_overrides={"REMOTE_ADDR": "127.0.0.1"}).get_data(as_text=True)
    assert tried == [NOWHERE], "three of five seconds each are more than Prometheus waits"
    values = {each.name: [sample.value for sample in each.samples] for each in text_string_to_metric_families(body)}
    for name in ("dead_letters_open", "backup_failed", "wal_archive_waiting_bytes", "patients"):
        assert [math.isnan(value) for value in values[f"sigilo_{name}"]] == [True], name
    for name in ("visits", "job_run_failed", "queue_depth"):  # Redis is away too
        assert values[f"sigilo_{name}"] == [], name


def test_metrics_of_all_processes_add_up(settings: Settings, home: Path, cast: Cast) -> None:
    with live_server(settings, home) as server:
        for _ in range(20):
            assert server.get("/api/me", cast.doctor.headers)[0] == 200
        body = server.get("/metrics")[2].decode()
    counted = sum(
        sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        if sample.name == "sigilo_http_request_duration_seconds_count" and sample.labels["url_rule"] == "/api/me"
    )
    assert counted == 20


def test_live_gauges_of_ended_processes_are_dropped(tmp_path: Path) -> None:
    dead, mine = tmp_path / "gauge_livemax_999999999.db", tmp_path / "counter_999999999.db"
    dead.write_bytes(b"")
    mine.write_bytes(b"")
    forget_dead_processes(tmp_path)
    assert not dead.exists()
    assert mine.exists(), "what an ended process counted stays counted"
