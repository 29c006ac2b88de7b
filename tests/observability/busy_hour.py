"""An hour of a clinic in some seconds: what everybody does, well and badly, over HTTP alone."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from celery import Celery

from embedded.process import wait_until
from integrations.broker import broker_url
from tests.ai.pipeline.clinic import quoting
from tests.observability.watched_clinic import WatchedClinic, redis_url

CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
QUESTION = re.compile(r"/ai/questions/([0-9a-f-]{36})/accept")
PAGES = {
    "doctor": ("/", "/patients", "/medical-records", "/me"),
    "reception": ("/", "/patients", "/visits/new", "/audit"),  # the last is not theirs
    "admin": ("/system", "/backups", "/imports", "/rate-limits", "/users", "/no/such/page"),
    "auditor": ("/audit", "/emergency-accesses"),
    "patient": ("/me",),
}
FILE = """source,patient_id,full_name,birth_date,gender
hora,{0}-1,Maria da Hora,1980-05-01,female
hora,{0}-2,Invertida da Hora,1980-13-45,female
"""
TABLE = "import_rejects"
BREAK_OFF = f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = '{TABLE}'::regclass AND NOT granted"
WORKS_SECONDS = 30.0


class Browser:
    """Somebody of the demo clinic."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)
        self._login = {"email": email, "password": password}

    def sign_in(self, **wrong: str) -> int:
        """The status of the answer."""
        return self.client.post("/login", data={**self._token("/login"), **self._login, **wrong}).status_code

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def post(self, path: str, data: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        answer = self.client.post(path, data={**self._token("/me"), **(data or {})}, **more)
        assert answer.status_code < 400, f"{path}: {answer.status_code}"
        return answer

    def _token(self, path: str) -> dict[str, str]:
        found = CSRF.search(self.client.get(path).text)
        assert found is not None, path
        return {"csrf_token": found[1]}


@dataclass(frozen=True)
class Api:
    """An integrator with the token of somebody of the demo clinic."""

    client: httpx.Client

    @classmethod
    def of(cls, clinic: WatchedClinic, email: str, quota: str) -> Api:
        made = clinic.installation.sigilo(
            "token", "create", "--email", email, "--quota", quota, DATABASE_URL=clinic.database_url
        )
        assert made.returncode == 0, made.stderr
        headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
        return cls(httpx.Client(base_url=clinic.url, headers=headers, timeout=30))

    def send(self, method: str, path: str, body: Any = None, *, expected: int) -> Any:
        answer = self.client.request(method, path, json=body)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json() if answer.content else None


class BusyHour:
    def __init__(self, clinic: WatchedClinic) -> None:
        self._clinic = clinic
        logins = json.loads(clinic.installation.home.demo_credentials.read_text())
        self._doctor = Api.of(clinic, logins["doctor"]["email"], "100000/minute")
        self._outsider = Api.of(clinic, logins["doctor2"]["email"], "5/minute")
        self._browsers = {role: Browser(clinic.url, **logins[role]) for role in PAGES}
        assert {browser.sign_in() for browser in self._browsers.values()} == {303}
        self._forgetful = Browser(clinic.url, **logins["nurse"])

    def act(self) -> None:
        """Once through everything."""
        patient, record = self._write()
        self._look(record)
        self._queue(patient)
        self._be_refused(patient, record)
        self._import()
        self._ask(patient, "accept", {"text": "Hipertensão essencial."})
        self._ask(patient, "reject", {})
        # Neither answer fits, nor the one that it is asked for anew: rules answer.
        self._clinic.model.answer_with("Não sei.", "Não sei.", quoting)
        self._ask(patient, "reject", {})
        self._send_nonsense()

    def _write(self) -> tuple[str, str]:
        api = self._doctor
        patient = api.send("POST", "/api/patients", {"fullName": "Hora Corrida", "sex": "FEMALE"}, expected=201)["id"]
        new = {"patientId": patient, "title": "Consulta", "diagnosis": "Hipertensão essencial"}
        record = api.send("POST", "/api/medical-records", new, expected=201)["id"]
        api.send("GET", "/api/medical-records?limit=20", expected=200)
        api.send("POST", "/api/medical-records/search", {"q": "hipertensão"}, expected=200)
        api.send("POST", "/api/medical-records", {"patientId": patient}, expected=422)
        api.send("GET", f"/api/medical-records/{uuid.uuid4()}", expected=404)
        return patient, record

    def _look(self, record: str) -> None:
        proxy = self._clinic.proxy
        with httpx.Client(base_url=proxy.url, verify=proxy.trust(), trust_env=False, timeout=30) as visitor:
            visitor.get("/login").raise_for_status()
        for role, paths in PAGES.items():
            for path in paths:
                self._browsers[role].get(path)
        doctor = self._browsers["doctor"]
        doctor.get(f"/medical-records/{record}")
        doctor.post(f"/medical-records/{record}/print")

    def _queue(self, patient: str) -> None:
        """One waits, one is in care."""
        for reason in ("Retorno", "Dor de cabeça"):
            waiting = {"patientId": patient, "reason": reason, "priority": "NORMAL"}
            visit = self._doctor.client.post("/api/visits", json=waiting)
            if visit.status_code == 201 and reason == "Retorno":
                self._doctor.send("POST", f"/api/visits/{visit.json()['id']}/call", expected=200)

    def _be_refused(self, patient: str, record: str) -> None:
        """A wrong password, a mask, an emergency, a page of others, a quota."""
        assert self._forgetful.sign_in(password="not my password") >= 400
        answers = [
            self._outsider.client.get(f"/api/medical-records/{record}"),
            self._outsider.client.post(f"/api/patients/{patient}/break-glass", json={"reason": "Convulsão na sala 2"}),
            *(self._outsider.client.get("/api/audit-events") for _ in range(6)),
        ]
        assert answers[-1].status_code == 429

    def _import(self) -> None:
        """The database breaks off in the middle of it, and the task is done again."""
        content = FILE.format(uuid.uuid4().hex).encode()
        with psycopg.connect(self._clinic.database_url) as connection:
            connection.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
            self._browsers["admin"].post("/imports", files={"file": ("hora.csv", content, "text/csv")})
            assert wait_until(lambda: connection.execute(BREAK_OFF).fetchone() is not None, WORKS_SECONDS), "no import"

    def _ask(self, patient: str, verdict: str, given: dict[str, str]) -> None:
        doctor = self._browsers["doctor"]
        doctor.post(f"/patients/{patient}/summary")
        found: list[str] = []

        def is_answered() -> bool:
            found[:] = QUESTION.findall(doctor.get(f"/patients/{patient}/summary").text)
            return bool(found)

        assert wait_until(is_answered, WORKS_SECONDS), "the model did not answer"
        doctor.post(f"/ai/questions/{found[0]}/{verdict}", given)

    def _send_nonsense(self) -> None:
        """A message that no task can make sense of: it fails for good."""
        with Celery(broker=broker_url(redis_url(self._clinic.installation)), set_as_current=False) as sender:
            sender.send_task("imports.run", kwargs={"nonsense": str(uuid.uuid4())}, queue="default", ignore_result=True)
