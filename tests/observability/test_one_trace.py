"""What one person does is one tree of spans over all processes, and says nothing about anybody."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from config import Principal, Settings
from embedded.home import Home
from embedded.redis import RedisServer
from embedded.serving import worker_environment
from models import Role
from models.engine import Databases
from observability.tracing import ATTRIBUTES
from tests import plain_http
from tests.ai.pipeline.clinic import quoting
from tests.conftest import make_settings
from tests.conftest import test_key as key_for
from tests.factories.browser_session import open_session
from tests.factories.cast import make_person
from tests.integrations.fake_ollama import DEFAULT_MODEL, fake_ollama
from tests.observability.collector import CONSUMER, PRODUCER, SERVER, FakeCollector, Received, collecting
from tests.servers import DatabaseServer
from tests.tasks.conftest import WORKER, Process, free_port, wait_for
from tests.web.live_server import LiveServer, live_server

TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3"
NAME, INVITED, CPF, DIAGNOSIS, REASON = (
    "Aldonça Rastreável", "Quitéria Convidada", "52998224725", "Sarcoidose inconfundível", "Motivo irrepetível"
)  # fmt: skip
FILE = (
    "source,patient_id,full_name,birth_date,gender,phone,address,city,state,postal_code,deceased\n"
    f"rastro,r-1,{NAME},1980-05-01,female,,,,,,\n"
)


@dataclass
class Clinic:
    """Web and worker processes over servers of their own, and where their spans go."""

    collector: FakeCollector
    web: LiveServer
    browser: httpx.Client
    token: str
    session: str
    doctors_session: str
    worker: str  # where its metrics are

    def trace_of(self, answer: httpx.Response) -> str:
        """The trace that the web server's log gives the request of ``answer``."""
        wanted = answer.headers["X-Request-Id"]
        for line in self.web.log.read_text().splitlines():
            if wanted in line:
                trace: str = json.loads(line)["traceId"]
                return trace
        raise LookupError(wanted)

    def has_root(self, trace: str) -> bool:
        """Whether the request's own span has come, which ends last in its process."""
        return any(span.kind == SERVER for span in self.collector.tree(trace))


@pytest.fixture(scope="module")
def clinic(
    server: DatabaseServer, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clinic]:
    folder = tmp_path_factory.mktemp("traced")
    name, broker = server.create(template=template), RedisServer(Home(folder / "redis"), durable=False)
    broker.start()
    settings = make_settings(server.urls(name), broker.url, folder)
    databases = Databases(server.urls(name), pool_size=2)
    admin = make_person(databases, Role.ADMIN, "Davi Administrador")
    session = open_session(databases, admin, stepped_up=True)
    doctor = make_person(databases, Role.DOCTOR, "Inácia Doutora")
    doctors_session = open_session(databases, doctor)
    port = free_port()
    with collecting() as collector, fake_ollama() as model:
        model.answer_with(quoting)
        tracing: dict[str, Any] = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER_ARG": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "100", "OLLAMA_URL": model.url,
        }  # fmt: skip
        measured = worker_environment(
            {**os.environ, **environment(settings), **tracing, "WORKER_METRICS_PORT": str(port)}, folder
        )
        worker = Process(WORKER, measured)
        try:
            with live_server(settings, folder, **tracing) as web, httpx.Client(base_url=web.url) as browser:
                browser.cookies.set("sigilo", session)
                yield Clinic(
                    collector, web, browser, doctor.token, session, doctors_session, f"http://127.0.0.1:{port}/metrics"
                )
        finally:
            worker.kill()
            databases.dispose()
            broker.destroy()
            server.drop(name)


def environment(settings: Settings) -> dict[str, str]:
    return {
        "SIGILO_ENV": "development",
        "SIGILO_HOME": str(settings.sigilo_home),
        "SECRET_KEY": key_for("session") + key_for("more"),
        "FIELD_KEY": key_for("fields"),
        "AUDIT_SIGNING_KEY": key_for("signing"),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        **{f"DATABASE_URL_{principal.name}": settings.url_for(principal) for principal in Principal},
    }


def csrf(browser: httpx.Client, path: str) -> str:
    found = TOKEN.search(browser.get(path, headers={"Accept": "text/html"}).text)
    assert found is not None
    return found[1]


def is_whole(tree: list[Received], task: str) -> bool:
    """Whether everything is there of a request that ended in ``task``."""
    return {SERVER, PRODUCER, CONSUMER} <= {span.kind for span in tree} and any(span.name == task for span in tree)


def check_tree(tree: list[Received], route: str, task: str) -> None:
    """One root, which is the request; every parent is there; both processes spoke to PostgreSQL, each below its own."""
    by_id = {span.id: span for span in tree}
    (root,) = [span for span in tree if not span.parent]
    assert (root.service, root.kind, root.name) == ("sigilo-web", SERVER, f"POST {route}")
    assert all(span.parent in by_id for span in tree if span is not root)
    (sent,) = [span for span in tree if span.kind == PRODUCER]
    (run,) = [span for span in tree if span.kind == CONSUMER]
    assert (sent.service, sent.name, sent.parent) == ("sigilo-web", f"send {task}", root.id)
    assert (run.service, run.name, run.parent) == ("sigilo-worker", task, sent.id)
    assert (run.attributes["sigilo.task.outcome"], run.attributes["sigilo.task.retries"]) == ("success", 0)
    for top in (root, run):
        below = [span for span in tree if span.parent == top.id and span.service == top.service]
        statements = [span for span in below if span.attributes.get("db.system.name") == "postgresql"]
        assert {"SELECT", "COMMIT"} <= {span.name for span in statements}
        assert any("FROM" in span.attributes.get("db.query.text", "") for span in statements)
    assert any(span.attributes.get("db.system.name") == "redis" for span in tree)
    assert root.attributes["sigilo.role"] == "ADMIN"
    assert root.attributes["http.response.status_code"] < 400


def test_an_import_is_one_tree_from_the_request_to_the_rows(clinic: Clinic) -> None:
    answer = clinic.browser.post(
        "/api/imports",
        files={"file": ("p.csv", io.BytesIO(FILE.encode()), "text/csv")},
        headers={"X-CSRFToken": csrf(clinic.browser, "/imports"), "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"},
    )
    assert answer.status_code == 202, answer.text
    trace = clinic.trace_of(answer)
    assert trace != "a" * 32
    wait_for(lambda: is_whole(clinic.collector.tree(trace), "imports.run"))
    tree = clinic.collector.tree(trace)
    check_tree(tree, "/api/imports", "imports.run")
    assert any('INSERT INTO "patients"' in span.attributes.get("db.query.text", "") for span in tree)
    done = clinic.browser.get(answer.headers["Location"]).json()
    assert (done["state"], done["created"]) == ("DONE", 1)


def test_an_invitation_is_one_tree_from_the_form_to_the_mail(clinic: Clinic) -> None:
    fields = {"fullName": INVITED, "email": "quiteria@example.org", "roles": "RECEPTION", "cpf": CPF, "reason": REASON}
    fields["csrf_token"] = csrf(clinic.browser, "/users/new")
    answer = clinic.browser.post("/users/new", data=fields)
    assert answer.status_code == 303, answer.text
    trace = clinic.trace_of(answer)
    wait_for(lambda: is_whole(clinic.collector.tree(trace), "mail.send"))
    check_tree(clinic.collector.tree(trace), "/users/new", "mail.send")


def test_a_question_is_one_tree_from_the_press_to_the_models_answer(clinic: Clinic) -> None:
    api = httpx.Client(base_url=f"{clinic.web.url}/api", headers={"Authorization": f"Bearer {clinic.token}"})
    patient = api.post("/patients", json={"fullName": NAME, "sex": "FEMALE"}).json()["id"]
    record = {"patientId": patient, "title": "Retorno", "diagnosis": DIAGNOSIS}
    assert api.post("/medical-records", json=record).status_code == 201
    with httpx.Client(base_url=clinic.web.url, cookies={"sigilo": clinic.doctors_session}) as doctor:
        asked = doctor.post(f"/patients/{patient}/summary", data={"csrf_token": csrf(doctor, f"/patients/{patient}")})
    assert asked.status_code < 400, asked.text
    trace = clinic.trace_of(asked)
    wait_for(lambda: is_whole(clinic.collector.tree(trace), "inference.run"))
    tree = clinic.collector.tree(trace)
    (run,) = [span for span in tree if span.kind == CONSUMER]
    (answer,) = [span for span in tree if span.name == f"chat {DEFAULT_MODEL}"]
    assert (answer.service, answer.parent, answer.is_error) == ("sigilo-worker", run.id, False)
    assert answer.attributes == {
        "gen_ai.provider.name": "ollama", "gen_ai.operation.name": "chat", "gen_ai.request.model": DEFAULT_MODEL,
    }  # fmt: skip


def test_sealing_has_a_trace_of_its_own_that_names_whom_it_is_for(clinic: Clinic) -> None:
    asked: set[str] = set()

    def is_linked() -> bool:
        """A wake-up is not sent while two wait: not every request has one."""
        answer = httpx.get(f"{clinic.web.url}/api/me", headers={"Authorization": f"Bearer {clinic.token}"})
        asked.add(clinic.trace_of(answer))
        return any(span.name == "audit.drain" and asked & set(span.links) for span in clinic.collector.spans)

    wait_for(is_linked)
    drains = [span for span in clinic.collector.spans if span.name == "audit.drain"]
    assert not any(span.parent for span in drains)


def test_a_callers_trace_is_linked_for_a_token_and_never_gone_on_with(clinic: Clinic) -> None:
    theirs = {"traceparent": f"00-{'c' * 32}-{'d' * 16}-01", "tracestate": "who=Rastreavel"}
    ours = clinic.trace_of(
        httpx.get(f"{clinic.web.url}/api/me", headers={"Authorization": f"Bearer {clinic.token}", **theirs})
    )
    nobodys = clinic.trace_of(httpx.get(f"{clinic.web.url}/api/me", headers=theirs))
    wait_for(lambda: clinic.has_root(nobodys) and clinic.has_root(ours))
    roots = {span.trace: span for span in clinic.collector.spans if span.kind == SERVER}
    assert roots[ours].links == ("c" * 32,)
    assert roots[nobodys].links == ()
    assert not clinic.collector.tree("c" * 32)


def test_invariant_9_nothing_about_anybody_leaves(clinic: Clinic) -> None:
    """Names, numbers, words and secrets of the acts above and of these, errors among them, are in no byte."""
    api = httpx.Client(base_url=f"{clinic.web.url}/api", headers={"Authorization": f"Bearer {clinic.token}"})
    patient = {"fullName": NAME, "sex": "FEMALE", "cpf": CPF}
    made = api.post("/patients", json=patient)
    assert made.status_code == 201, made.text
    assert api.post("/patients", json=patient).status_code == 409
    record = {"patientId": made.json()["id"], "title": "Retorno", "diagnosis": DIAGNOSIS}
    assert api.post("/medical-records", json=record).status_code == 201
    assert api.post("/medical-records/search", json={"q": DIAGNOSIS}).status_code == 200
    last = api.get(f"/patients/{made.json()['id']}?procura=Rastreavel")
    trace = clinic.trace_of(last)
    wait_for(lambda: clinic.has_root(trace))
    sent = b"".join(clinic.collector.bodies)
    for said in (
        NAME, NAME[:7], "Rastre", INVITED, CPF, "529.982", DIAGNOSIS, "inconfund", REASON, "quiteria@",
        "Davi Admin", "Doutora", clinic.token, clinic.session, made.json()["id"], "127.0.0.1", "python-httpx", "r-1",
    ):  # fmt: skip
        assert said.encode() not in sent, said
    assert {key for span in clinic.collector.spans for key in span.attributes} <= ATTRIBUTES
    assert any(span.name == "GET /api/patients/<uuid:patient_id>" for span in clinic.collector.tree(trace))


def test_invariant_9_metrics_say_nothing_about_anybody(clinic: Clinic) -> None:
    """People sign in, write, search, import from a file with a name in it, ask the local model and go astray: what web
    and worker tell Prometheus has counted it all and names nobody."""
    diagnosis, word, mail = "Esclerodermia singularíssima", "esclerodermia", "aldonca.rastreavel@example.org"
    api = httpx.Client(base_url=f"{clinic.web.url}/api", headers={"Authorization": f"Bearer {clinic.token}"})
    made = api.post("/patients", json={"fullName": NAME, "sex": "FEMALE", "email": mail, "cns": "700000000000005"})
    assert made.status_code == 201, made.text
    patient = made.json()["id"]
    record = {"patientId": patient, "title": "Retorno", "diagnosis": diagnosis}
    assert api.post("/medical-records", json=record).status_code == 201
    assert api.post("/medical-records/search", json={"q": word}).json()["data"]
    for astray in (f"/patients/{NAME}", f"/{mail}", f"/medical-records?q={word}"):
        clinic.browser.get(astray, headers={"Accept": "text/html"})
    clinic.browser.request(NAME[:7].upper().replace("Ç", "C"), "/patients")
    with httpx.Client(base_url=clinic.web.url) as nobody:
        nobody.post("/login", data={"email": mail, "password": "errada", "csrf_token": csrf(nobody, "/login")})
    file = io.BytesIO(FILE.replace("r-1", "r-2").encode())
    uploaded = clinic.browser.post(
        "/api/imports",
        files={"file": ("prontuario-aldonca.csv", file, "text/csv")},
        headers={"X-CSRFToken": csrf(clinic.browser, "/imports")},
    )
    assert uploaded.status_code == 202, uploaded.text
    with httpx.Client(base_url=clinic.web.url, cookies={"sigilo": clinic.doctors_session}) as doctor:
        asked = doctor.post(f"/patients/{patient}/summary", data={"csrf_token": csrf(doctor, f"/patients/{patient}")})
        assert asked.status_code < 400, asked.text
    work = 'sigilo_import_entries_total{outcome="imported"}', 'sigilo_ai_questions_total{outcome="done",use="summary"}'
    wait_for(lambda: all(each in plain_http.get(clinic.worker).text for each in work))
    web, worker = httpx.get(f"{clinic.web.url}/metrics").text, httpx.get(clinic.worker).text
    for counted in ("/api/medical-records/search", '"/patients/<uuid:patient_id>/summary"', 'url_rule="none"'):
        assert counted in web, counted
    assert 'sigilo_task_seconds_count{outcome="success",task="imports.run"}' in worker
    everything = (web + worker).casefold()
    for said in (
        NAME, NAME[:7], "rastre", "aldonca", mail, "example.org", CPF, "700000000000005", diagnosis, "singular", word,
        "retorno", "prontuario", "r-2", "Inácia", "Doutora", clinic.token, clinic.session, clinic.doctors_session,
        patient, uploaded.headers["Location"].rpartition("/")[2],
    ):  # fmt: skip
        assert said.casefold() not in everything, said


def test_buckets_of_the_request_histogram_name_a_trace(clinic: Clinic) -> None:
    """Asked for OpenMetrics, whichever of the two processes answers shows the traces that it served."""
    asked: set[str] = set()

    def shown() -> set[str]:
        asked.add(clinic.trace_of(clinic.browser.get("/me", headers={"Accept": "text/html"})))
        answer = httpx.get(f"{clinic.web.url}/metrics", headers={"Accept": OPENMETRICS})
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        return {
            sample.exemplar.labels["trace_id"]
            for family in text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
            for sample in family.samples
            if sample.exemplar is not None and sample.labels["url_rule"] == "/me"
        }

    wait_for(lambda: bool(shown() & asked))
    assert "trace_id" not in httpx.get(f"{clinic.web.url}/metrics").text, "the plain format has no place for it"


def test_a_problem_and_an_error_page_name_the_trace(clinic: Clinic) -> None:
    api = httpx.get(f"{clinic.web.url}/api/nowhere")
    assert api.json()["traceId"] == clinic.trace_of(api)
    page = clinic.browser.get("/nowhere", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert clinic.trace_of(page) in page.text


def test_a_web_server_that_stops_sends_what_it_has(settings: Settings, tmp_path: Path) -> None:
    """Nothing would be sent for ten minutes: it is the end that sends it."""
    with collecting() as collector:
        tracing: dict[str, Any] = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER_ARG": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
        }  # fmt: skip
        with live_server(settings, tmp_path, workers=1, **tracing) as web:
            assert web.get("/api/nowhere")[0] == 404
            assert not collector.bodies
        assert [span.name for span in collector.spans if not span.parent] == ["GET"]
