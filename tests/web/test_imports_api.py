"""Files that come in over HTTP: who may send them, what is refused at the door, and how far they get."""

from __future__ import annotations

import gzip
import io
import re
import resource
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from config import Principal, Settings
from models import ImportJob, Patient, Role
from models.engine import Databases
from services.import_run import run_next_upload
from services.import_upload import UPLOAD_MAX
from services.password import hash_password
from tests.factories.cast import Cast, make_person

PASSWORD = "uma frase longa de teste"
TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
PATIENTS = (
    "source,patient_id,full_name,birth_date,gender,phone,address,city,state,postal_code,deceased\n"
    "teste,{id},Maria Enviada,1980-05-01,female,,,,,,\n"
)


class Browser:
    """Somebody signed in at a browser: session cookie, and the CSRF token in a header."""

    def __init__(self, app: Flask, email: str) -> None:
        self.client: FlaskClient = app.test_client()
        token = self.token_of("/login")
        answer = self.client.post("/login", data={"email": email, "password": PASSWORD, "csrf_token": token})
        assert answer.status_code == 303, answer.text
        self.headers = {"X-CSRFToken": self.token_of("/")}

    def token_of(self, path: str) -> str:
        found = TOKEN.search(self.client.get(path, headers={"Accept": "text/html"}).text)
        assert found is not None, path
        return found[1]

    def send(self, name: str, content: bytes, **headers: str) -> Any:
        return self.client.post(
            "/api/imports",
            data={"file": (io.BytesIO(content), name)},
            content_type="multipart/form-data",
            headers={**self.headers, **headers},
        )


@pytest.fixture(scope="module")
def admin(app: Flask, databases: Databases) -> Browser:
    return Browser(app, make_person(databases, Role.ADMIN, "Davi", password_hash=hash_password(PASSWORD)).email)


def jobs(databases: Databases) -> int:
    with databases.session(Principal.WORKER) as session:
        return session.scalar(select(func.count()).select_from(ImportJob)) or 0


def test_an_upload_is_queued_run_and_reported(admin: Browser, databases: Databases, settings: Settings) -> None:
    content = PATIENTS.format(id="api-1").encode() + b"teste,api-2,Invertida,1980-13-45,female,,,,,,\n"
    queued = admin.send("patients.csv", content)
    assert queued.status_code == 202
    assert queued.get_json()["state"] == "QUEUED"
    while run_next_upload(settings) is not None:
        pass
    done = admin.client.get(queued.headers["Location"]).get_json()
    assert (done["state"], done["created"], done["rejected"]) == ("DONE", 1, 1)
    refused = admin.client.get(f"{queued.headers['Location']}/rejects")
    assert refused.mimetype == "text/csv"
    assert "patients.csv,3," in refused.text
    assert "1980-13-45" not in refused.text, "a refusal never repeats the content"
    with databases.session(Principal.WORKER) as session:
        assert session.scalar(select(Patient.full_name).where(Patient.source_id == "api-1")) == "Maria Enviada"


def test_security_24_uploads_are_bounded_and_typed_by_content(admin: Browser, databases: Databases) -> None:
    before = jobs(databases)
    fine = PATIENTS.format(id="p-3").encode()
    refused = {
        "patients.exe": (fine, 422),
        "../patients.csv": (fine, 422),
        "patients.csv": (b"", 422),
        "patients.csv.gz": (fine, 422),
        "bundle.json": (b"MZ\x90\x00 not json", 422),
        "bundle.ndjson": (gzip.compress(b"{}"), 422),
        "big.csv": (b"a" * (UPLOAD_MAX + 70_000), 413),
    }
    for name, (content, status) in refused.items():
        answer = admin.send(name, content)
        assert answer.status_code == status, (name, answer.status_code, answer.text)
        assert answer.mimetype == "application/problem+json"
    json_body = admin.client.post("/api/imports", json={"file": "x"}, headers=admin.headers)
    assert json_body.status_code == 415
    two = {"file": [(io.BytesIO(fine), "a.csv"), (io.BytesIO(fine), "b.csv")]}
    answer = admin.client.post("/api/imports", data=two, content_type="multipart/form-data", headers=admin.headers)
    assert answer.status_code == 422
    assert jobs(databases) == before


def test_security_24_bombs_are_clear_refusals_and_memory_stays_flat(
    admin: Browser, settings: Settings, databases: Databases
) -> None:
    """A gzip of 512 MiB of zeros, and 200,000 nested arrays: refused with a reason, in bounded memory."""
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=9) as packed:
        for _ in range(512):
            packed.write(b"0" * (1 << 20))
    locations = []
    for name, content in {"bomb.csv.gz": bomb.getvalue(), "deep.json": b'{"a":' + b"[" * 200_000}.items():
        answer = admin.send(name, content)
        assert answer.status_code == 202, answer.text
        locations.append(answer.headers["Location"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while run_next_upload(settings) is not None:
        pass
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 150_000, f"{grown} KiB more than before"
    for location in locations:
        report = admin.client.get(location).get_json()
        assert report["created"] == 0
        assert report["rejected"] >= 1 or report["error"]


def test_only_administrators_at_a_browser_import(
    app: Flask, databases: Databases, cast: Cast, client: FlaskClient
) -> None:
    doctor = Browser(app, make_person(databases, Role.DOCTOR, "Ana", password_hash=hash_password(PASSWORD)).email)
    assert doctor.send("patients.csv", PATIENTS.encode()).status_code == 403
    for name in cast.people:
        for path in ("/api/imports/01900000-0000-7000-8000-00000000dead",):
            assert client.get(path, headers=cast.people[name].headers).status_code == 403, name
    assert client.post("/api/imports").status_code == 401


def test_security_14_an_upload_without_a_csrf_token_is_refused(admin: Browser) -> None:
    for headers in ({"X-CSRFToken": "forged"}, {"Sec-Fetch-Site": "cross-site"}):
        assert admin.send("patients.csv", PATIENTS.encode(), **headers).status_code == 403
