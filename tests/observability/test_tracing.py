"""What tracing costs nobody: a collector that hangs or is away, tracing that is off, callers who ask to be sampled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from celery import Celery
from flask import Flask
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from config import ConfigurationError, Principal, Settings, load_settings
from integrations.broker import Publisher
from models.engine import Databases
from observability import tracing
from observability.sql_spans import describe, written
from observability.tracing import current_trace_id, current_traceparent, span, stop_tracing
from tasks.base import BaseTask
from tests.factories.cast import Cast
from tests.observability.collector import PRODUCER, collecting, tracing_to
from web.app import make_app

ROOT = Path(__file__).resolve().parent.parent.parent
ASKED = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
SECRET = "Sarcoidose inconfundível"


@pytest.fixture
def traced(settings: Settings, databases: Databases) -> Iterator[Callable[..., Flask]]:
    """Makes an application that sends its spans to an address, in this process; tracing is off again afterwards."""
    made: list[Flask] = []

    def make(endpoint: str, *, ratio: float = 1.0) -> Flask:
        update = {"otel_exporter_otlp_endpoint": endpoint, "otel_traces_sampler_arg": ratio}
        made.append(make_app(settings.model_copy(update=update), databases))
        return made[-1]

    yield make
    stop_tracing()
    for app in made:
        app.extensions["sigilo"].close()


def test_a_collector_that_hangs_delays_no_request_and_loses_none(
    traced: Callable[..., Flask], cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers only when everything is over; each request is answered while it holds a batch."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setattr("observability.tracing.STOP_SECONDS", 0.1)
    with collecting(hangs=True) as collector:
        client = traced(collector.url).test_client(use_cookies=False)
        answers: list[int] = []
        while len(answers) < 20 or not collector.bodies:
            answers.append(client.get("/api/me", headers=cast.doctor.headers).status_code)
        assert not collector.closing.is_set()
        assert set(answers) == {200}
        stop_tracing()  # waits a tenth of a second for what never comes


def test_a_collector_that_is_away_is_said_once_and_loses_no_request(
    traced: Callable[..., Flask], cast: Cast, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("observability.span_export.SEND_SECONDS", 0.2)
    client = traced("http://127.0.0.1:9").test_client(use_cookies=False)
    for _ in range(2):
        assert client.get("/api/me", headers=cast.doctor.headers).status_code == 200
        provider = tracing._process.provider
        assert provider is not None
        provider.force_flush()
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines() if "do not arrive" in line]
    assert [line["level"] for line in said] == ["warning"]


def test_nobody_outside_decides_what_is_sampled(traced: Callable[..., Flask], cast: Cast) -> None:
    with collecting() as collector:
        client = traced(collector.url, ratio=0.0).test_client(use_cookies=False)
        mine = client.get("/api/nowhere", headers={**ASKED, **cast.doctor.headers}).get_json()
        anybodys = client.get("/api/nowhere", headers=ASKED).get_json()
        stop_tracing()
    assert collector.bodies == []
    assert len({mine["traceId"], anybodys["traceId"], "a" * 32}) == 3


def test_what_pages_and_probes_ask_by_themselves_is_not_traced(traced: Callable[..., Flask]) -> None:
    with collecting() as collector:
        client = traced(collector.url).test_client(use_cookies=False)
        assert client.get("/livez").status_code == 200
        client.get("/live")
        stop_tracing()
    assert collector.bodies == []


def test_without_an_address_nothing_of_the_library_is_imported(environment_of: dict[str, str]) -> None:
    code = (
        "import sys, json, wsgi, celery_app, tasks.scheduler\n"
        "celery_app.app.loader.import_default_modules()\n"
        "from tasks import tracing; tracing.begin()\n"
        "answer = wsgi.app.test_client().get('/api/nowhere')\n"
        "print(json.dumps([sorted(answer.get_json()), [m for m in sys.modules if m.startswith('opentelemetry')]]))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment_of, capture_output=True, check=True)
    assert json.loads(run.stdout.splitlines()[-1]) == [["detail", "requestId", "status", "title", "type"], []]


@pytest.fixture
def environment_of(settings: Settings) -> dict[str, str]:
    """What a process needs to load these settings."""
    from tests.observability.test_one_trace import environment

    return environment(settings)


def test_a_statement_that_fails_is_named_by_its_error_and_quotes_no_row(databases: Databases) -> None:
    with collecting() as collector, tracing_to(collector), span("act"):
        with pytest.raises(DBAPIError), databases.session(Principal.STAFF) as session:
            session.execute(text("SELECT CAST(:words AS integer)"), {"words": SECRET})
        with databases.autocommit(Principal.STAFF) as connection:
            connection.execute(sql.SQL("SELECT {}").format(sql.Literal(SECRET)))
            with pytest.raises(psycopg.Error):
                connection.first_row("SELECT %(words)s::integer", {"words": SECRET})
    sent = b"".join(collector.bodies)
    assert b"inconfund" not in sent
    failed = [each.attributes for each in collector.spans if each.is_error]
    assert [about["db.response.status_code"] for about in failed] == ["22P02", "22P02"]
    assert {about["error.type"] for about in failed} == {"psycopg.errors.InvalidTextRepresentation"}


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("SELECT 'Ana', 12.5, n1, $1, %(x)s -- it's Ana\nFROM t2 WHERE a='O''Hara' AND b = $q$x'y$q$ /* Ana */",
         "SELECT ?, ?, n1, $1, %(x)s FROM t2 WHERE a=? AND b = ?"),
        ("SELECT 'a -- b',\n 'Ana Silva' FROM t", "SELECT ?, ? FROM t"),
        ("SELECT '/*', 'Ana', '*/' FROM t", "SELECT ?, ?, ? FROM t"),
        (r"SELECT E'it\'s Ana', e'\\', 'x\', n FROM t", "SELECT ?, ?, ?, n FROM t"),
        ("SELECT E'a'\n 'b\\' Ana' FROM t", "SELECT ? FROM t"),
        ("""SELECT "it's", 'Ana' AS "--" FROM t""", """SELECT "it's", ? AS "--" FROM t"""),
        ("SELECT /* a /* b */ Ana */ 1 FROM t", "SELECT ? FROM t"),
        ("SELECT $$it's $x$ Ana$$, $x$--$$'$x$ FROM t", "SELECT ?, ? FROM t"),
        ("SELECT 1e5, 0xAF, 1_000, t.n FROM t", "SELECT ?, ?, ?, t.n FROM t"),
        ("SELECT 'Ana", "SELECT ?"), ("SELECT $a$ Ana", "SELECT ?"), ("SELECT n /* Ana", "SELECT n"),
        (b"COMMIT;", "COMMIT;"),
        (sql.SQL("SELECT {} FROM {}").format(sql.Literal("Ana"), sql.Identifier("t")), 'SELECT ? FROM "t"'),
    ],
)  # fmt: skip
def test_what_a_statement_spells_out_is_not_shown(statement: Any, shown: str) -> None:
    assert describe(written(statement))[1] == shown


def test_what_nobody_traces_has_no_spans(databases: Databases) -> None:
    """A scheduler that looks every second would fill the collector with it."""
    with collecting() as collector, tracing_to(collector), databases.session(Principal.STAFF) as session:
        session.execute(text("SELECT 1"))
    assert collector.bodies == []


def test_of_very_many_statements_the_first_are_shown_and_the_rest_counted(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "MOST_CHILDREN", 3)
    with (
        collecting() as collector, tracing_to(collector), span("act"),
        databases.autocommit(Principal.STAFF) as connection,
    ):  # fmt: skip
        for _ in range(5):
            connection.execute("SELECT 1")
    (act,) = [each for each in collector.spans if each.name == "act"]
    shown = [each for each in collector.spans if each.parent == act.id]
    assert len(shown) + act.attributes["sigilo.spans.left_out"] >= 5
    assert len(shown) == 3


def test_what_is_sent_in_a_span_goes_on_with_it_and_a_drain_points_at_who_asked(redis_url: str) -> None:
    broker = redis.Redis.from_url(redis_url)
    broker.delete("backups", "audit")
    publisher = Publisher(redis_url)
    with collecting() as collector, tracing_to(collector):
        with span("act"):
            publisher.send("backups.create")
            trace = current_trace_id()
        publisher.send("backups.create")
        publisher.kick("audit.drain", [ASKED["traceparent"]])
    alone, within = [json.loads(each)["headers"] for each in broker.lrange("backups", 0, -1)]  # type: ignore[union-attr]
    (drain,) = [json.loads(each)["headers"] for each in broker.lrange("audit", 0, -1)]  # type: ignore[union-attr]
    broker.delete("backups", "audit")
    publisher.close()
    (sent,) = [each for each in collector.spans if each.kind == PRODUCER]
    assert within["traceparent"].startswith(f"00-{trace}-{sent.id}-")
    assert "traceparent" not in alone
    assert drain["tracelinks"] == ASKED["traceparent"]
    assert "traceparent" not in drain


def test_attempts_of_a_task_stand_side_by_side_below_who_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """And say how each ended, but never in an exception's words."""
    app = Celery("tests", set_as_current=False)
    app.conf.task_always_eager = True
    monkeypatch.setattr(BaseTask, "_finish", lambda *_: None)

    def body(self: BaseTask) -> None:
        if self.request.retries < 1:
            raise psycopg.OperationalError(SECRET)

    task = app.task(body, bind=True, name="tests.traced", base=BaseTask, retry_jitter=False, retry_backoff=False)
    with collecting() as collector, tracing_to(collector):
        with span("act"):
            parent = current_traceparent()
        task.apply(headers={"traceparent": parent})
    runs = [each for each in collector.spans if each.name == "tests.traced"]
    (act,) = [each for each in collector.spans if each.name == "act"]
    said = {(run.attributes["sigilo.task.retries"], run.attributes["sigilo.task.outcome"]) for run in runs}
    assert said == {(0, "retry"), (1, "success")}
    assert {run.parent for run in runs} == {act.id}
    assert b"inconfund" not in b"".join(collector.bodies)


def test_security_25_spans_go_to_the_named_place_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it answers, and whatever proxy the environment names."""
    with collecting() as elsewhere, collecting(redirects_to=f"{elsewhere.url}/v1/traces") as collector:
        monkeypatch.setenv("HTTP_PROXY", elsewhere.url)
        monkeypatch.setenv("http_proxy", elsewhere.url)
        with tracing_to(collector), span("act"):
            pass
        assert collector.paths == {"/v1/traces"}
        assert elsewhere.bodies == []


@pytest.mark.parametrize("url", ["collector:4318", "grpc://collector", "https://login:secret@collector", "http://c?x=1"])
def test_an_address_that_is_none_is_refused(settings: Settings, url: str) -> None:
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_ENDPOINT") as refused:
        load_settings(**(settings.model_dump() | {"otel_exporter_otlp_endpoint": url}))
    assert "login" not in str(refused.value)
