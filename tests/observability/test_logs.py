"""Logs of all processes, after people used the system and everything failed at once: lines that belong together, and
nothing about anybody in them."""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
import structlog

from embedded.home import Home
from embedded.redis import RedisServer
from embedded.serving import scheduler_command, worker_command
from models import Role
from models.engine import Databases
from observability.logging import configure_logging
from services.password import hash_password
from tests.conftest import make_settings
from tests.factories.browser_session import open_session
from tests.factories.cast import PATIENTS, USERS, make_cpf, make_person
from tests.integrations.test_mail import Inbox, smtp
from tests.observability.collector import collecting
from tests.observability.test_one_trace import csrf, environment
from tests.servers import DatabaseServer
from tests.tasks.conftest import Process, wait_for
from tests.telling import own_lines, pytest_runtest_makereport, telling
from tests.web.live_server import live_server

PASSWORD, WRONG = "lampião quieto verde sertão", "senha-errada-reconhecível"
NAME, BROKEN, MOTHER = "Aldonça Reconhecível", "Quebrada Reconhecível", "Iracema Materna"
CPF, PHONE = "52998224725", "11 98888-7766"
TITLE, DIAGNOSIS, NOTES, SOUGHT = (
    "Retorno reconhecível", "Sarcoidose reconhecível", "Anotação reconhecível", "procurado reconhecível"
)  # fmt: skip
REASON, INVITED, REFUSED = "motivo reconhecível", "Quitéria Reconhecível", "quiteria@recusa.example.net"
FILE, TOKEN = "prontuario-da-aldonca.csv", "sgl_reconhecivel-e-falso-0123456789abcdef"
CONTENT = (
    "source,patient_id,full_name,birth_date,gender,phone,address,city,state,postal_code,deceased\n"
    "rastro,paciente-77,{name},1980-05-01,female,,Rua Reconhecível 12,,,,\n"
)
# As they are deployed: lines of libraries are looked at too.
LAST_WORDS = "worker: Warm shutdown"
WORKER, SCHEDULER = (tuple(command[1:]) for command in (worker_command(), scheduler_command()))
# The database refuses these with texts that quote the row, as a constraint of somebody's own would.
FAULTS = f"""
CREATE FUNCTION quote_the_patient() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'refused: %', NEW.full_name USING DETAIL = 'Failing row contains ' || NEW, HINT = '{DIAGNOSIS}';
END $$;
CREATE TRIGGER quote_the_patient BEFORE INSERT ON patients FOR EACH ROW
    WHEN (NEW.full_name = '{BROKEN}') EXECUTE FUNCTION quote_the_patient();
CREATE FUNCTION quote_the_run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'refused: %', '{DIAGNOSIS}' USING DETAIL = '{NAME}';
END $$;
CREATE TRIGGER quote_the_run BEFORE INSERT ON job_runs FOR EACH ROW EXECUTE FUNCTION quote_the_run();
"""


@dataclass
class Written:
    """What each process wrote, line by line, and the answers that were given meanwhile."""

    web: list[dict[str, Any]]
    worker: list[dict[str, Any]]
    scheduler: list[dict[str, Any]]
    everything: str
    answers: dict[str, httpx.Response]
    secrets: tuple[str, ...]


@pytest.fixture(scope="module")
def written(server: DatabaseServer, template: str, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("logged")
    name, broker = server.create(template=template), RedisServer(Home(folder / "redis"), durable=False)
    broker.start()
    settings = make_settings(server.urls(name), broker.url, folder)
    databases = Databases(server.urls(name), pool_size=2)
    with psycopg.connect(server.superuser_url(name), autocommit=True) as connection:
        connection.execute(FAULTS)
    admin = make_person(databases, Role.ADMIN, USERS["admin"][1], password_hash=hash_password(PASSWORD))
    session = open_session(databases, admin, stepped_up=True)
    doctor = make_person(databases, Role.DOCTOR, USERS["doctor"][1])
    inbox = Inbox()
    inbox.answers[REFUSED] = f"550 no mailbox of {INVITED} <{REFUSED}>"
    with collecting() as collector, smtp(inbox) as port:
        more: dict[str, Any] = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_TRACES_SAMPLER_ARG": "1",
            "SMTP_URL": f"smtp://127.0.0.1:{port}?from=sigilo@example.org&tls=none",
        }
        variables = {**os.environ, **environment(settings), **more}
        worker = Process(WORKER, variables)
        scheduler: Process | None = None
        try:
            with live_server(settings, folder, **more) as web:
                answers = use(web.url, admin.email, session, doctor.token)
                wait_for(lambda: worker.said('"task failed"') and worker.said("mail refused"))
                # Now, so that it was no watch of its own that woke the worker.
                scheduler = Process(SCHEDULER, variables)
                wait_for(lambda: scheduler.said("could not start"))
            scheduler.stop()
            worker.stop()
        finally:
            for process in filter(None, (worker, scheduler)):
                process.kill()
            databases.dispose()
            broker.destroy()
            server.drop(name)
    text = web.log.read_text()
    everything = "\n".join([text, *worker.lines, *scheduler.lines])
    return Written(
        read(text), read("".join(worker.lines)), read("".join(scheduler.lines)), everything, answers,
        (
            session, doctor.token, admin.email, doctor.email,
            *(value for key, value in environment(settings).items() if re.search("KEY|URL", key)),
        ),
    )  # fmt: skip


def use(url: str, email: str, session: str, token: str) -> dict[str, httpx.Response]:
    """Do with recognisable words what people, integrators and strangers do."""
    answers: dict[str, httpx.Response] = {}
    with httpx.Client(base_url=url, headers={"User-Agent": f"navegador de {MOTHER}"}) as page:
        for password in (WRONG, PASSWORD):
            page.post("/login", data={"email": email, "password": password, "csrf_token": csrf(page, "/login")})
        page.cookies.clear()
        page.cookies.set("sigilo", session)
        page.get("/patients", params={"q": SOUGHT, "cpf": CPF})
        page.get(f"/{NAME}/{CPF}")
        fields = {"fullName": INVITED, "email": REFUSED, "roles": "RECEPTION", "cpf": make_cpf(), "reason": REASON}
        token_of = csrf(page, "/users/new")
        answers["invited"] = page.post("/users/new", data={**fields, "csrf_token": token_of})
        file = {"file": (FILE, io.BytesIO(CONTENT.format(name=BROKEN).encode()), "text/csv")}
        answers["import"] = page.post("/api/imports", files=file, headers={"X-CSRFToken": csrf(page, "/imports")})
    with httpx.Client(base_url=f"{url}/api", headers={"Authorization": f"Bearer {token}"}) as api:
        patient = {
            "fullName": NAME, "sex": "FEMALE", "cpf": CPF, "motherName": MOTHER, "phone": PHONE, "email": REFUSED,
        }  # fmt: skip
        made = api.post("/patients", json=patient).json()
        api.post("/patients", json=patient)  # a duplicate
        answers["broken"] = api.post("/patients", json={"fullName": BROKEN, "sex": "FEMALE"})
        api.post("/patients", json={**patient, "cpf": f"{CPF}9", "birthDate": NAME, DIAGNOSIS: NAME})
        api.post("/patients", content=f'{{"fullName": "{NAME}', headers={"Content-Type": "application/json"})
        record = {"patientId": made["id"], "title": TITLE, "diagnosis": DIAGNOSIS, "notes": NOTES}
        written = api.post("/medical-records", json=record)
        api.delete(f"/medical-records/{written.json()['id']}", params={"reason": REASON})
        api.post("/medical-records/search", json={"q": SOUGHT})
        api.post("/patients/search", json={"q": NAME})
        api.post("/patients/search", json={"cpf": CPF})
        api.get("/medical-records", params={"patientId": NAME, "cursor": DIAGNOSIS})
        api.get("/me", headers={"Authorization": f"Bearer {TOKEN}", "X-Request-Id": "Reconhecivel-0001"})
        answers["nowhere"] = api.get(f"/{TITLE}")
    return answers


def read(text: str) -> list[dict[str, Any]]:
    """Every line but the one that Celery prints at its end."""
    return [json.loads(line) for line in text.splitlines() if line.strip() and not line.startswith(LAST_WORDS)]


def test_every_line_of_every_process_is_an_event_of_a_moment(written: Written) -> None:
    """JSON, what collectors rely on; ``read`` would have failed of anything else."""
    for lines in (written.web, written.worker, written.scheduler):
        assert lines
        assert all({"time", "level", "event"} <= set(line) for line in lines)
        assert all(line["time"].endswith("Z") for line in lines)


def test_invariant_9_no_line_tells_anything_about_anybody(written: Written) -> None:
    said = written.everything.casefold()
    for word in (
        PASSWORD, WRONG, NAME, BROKEN, MOTHER, CPF, "529.982", PHONE, "88887766", TITLE, DIAGNOSIS, NOTES, SOUGHT,
        REASON, INVITED, REFUSED, FILE, TOKEN, "reconhec", "aldon", "quiteria", "paciente-77", "prontuario-da",
        *PATIENTS.values(), *(person for _, person in USERS.values()), *written.secrets,
    ):  # fmt: skip
        assert word.casefold() not in said, word
    assert not list(telling(written.everything))


def test_a_fault_is_found_by_the_request_and_the_trace_that_the_caller_was_told(written: Written) -> None:
    """The exception's line, the request's line and the answer name the same; the database's fault by its SQLSTATE."""
    answer = written.answers["broken"].json()
    assert answer["status"] == 500
    mine = [line for line in written.web if line.get("requestId") == answer["requestId"]]
    assert {line["event"] for line in mine} == {"unexpected", "request"}
    assert {line["traceId"] for line in mine} == {answer["traceId"]}
    [fault] = [line for line in mine if line["event"] == "unexpected"]
    assert any("P0001" in each for each in fault["exception"])
    assert fault["stack"]


def test_a_task_that_failed_is_of_the_trace_that_asked_for_it(written: Written) -> None:
    """Imports and mails begin with a request: whoever reads its line finds the worker's."""
    for name, event in (("import", "task failed"), ("invited", "mail refused")):
        asked = written.answers[name].headers["X-Request-Id"]
        [request] = [line for line in written.web if line["event"] == "request" and line["requestId"] == asked]
        traces = [line["traceId"] for line in written.worker if line["event"] == event]
        assert request["traceId"] in traces


def test_a_request_id_ends_with_its_request(written: Written) -> None:
    """Threads serve one request after the other: none has lines of another's id."""
    traces: dict[str, set[str]] = {}
    for line in written.web:
        if "requestId" in line and "traceId" in line:
            traces.setdefault(line["requestId"], set()).add(line["traceId"])
    assert len(traces) > 10
    assert all(len(each) == 1 for each in traces.values())


def test_every_request_line_but_those_of_open_pages_names_its_trace(written: Written) -> None:
    asked = [line for line in written.web if line["event"] == "request"]
    assert all("traceId" in line for line in asked)


@pytest.mark.parametrize("said", ["Ana Moura", "rita.prado.0f@example.org", f"sgl_{'x' * 43}", CPF, "529.982.247-25"])
def test_what_a_line_tells_is_seen(said: str) -> None:
    line = json.dumps({"event": "x", "level": "info", "about": said}, ensure_ascii=False)
    assert len(list(telling(f"{line}\n"))) == 1
    assert own_lines(f"{said}\n{line}") == line
    assert not list(telling('{"event": "x", "sequence": 52998224724, "id": "0190-12345678901"}'))


@pytest.mark.parametrize(("said", "outcome"), [("Ana Moura", "failed"), ("nobody", "passed")])
def test_a_test_whose_process_logs_somebody_fails(
    said: str, outcome: str, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    """The hook that tests/conftest.py has, given what this process logs and the report of a test that passed."""
    configure_logging()
    structlog.get_logger().info("seen", who=said)
    output = capfd.readouterr().out
    assert said in output
    sections = [("Captured stdout call", output)]
    report = pytest.TestReport(request.node.nodeid, request.node.location, {}, "passed", None, "call", sections)
    hook = pytest_runtest_makereport()
    next(hook)
    with pytest.raises(StopIteration) as done:
        hook.send(report)
    assert done.value.value.outcome == outcome
    assert (f"the log tells {said}" in str(report.longrepr)) == (outcome == "failed")
