"""``/imports`` as an administrator uses it: send, watch, cancel, go on, see what was refused."""

from __future__ import annotations

import io
import re
import secrets
import uuid
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text, update
from werkzeug.test import TestResponse

from config import Principal, Settings
from models import AuditOutbox, ImportFile, ImportJob, ImportReject, new_id
from models.engine import Databases
from services.import_run import run_next_upload
from services.import_upload import UPLOAD_MAX
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast
from tests.services.test_query_counts import counted
from tests.web.conftest import Browser

HEADER = "source,patient_id,full_name,birth_date,gender,phone,address,city,state,postal_code,deceased\n"
JOB_PATH = re.compile(r"^/imports/([0-9a-f-]{36})\?done=import-started$")


def content_of(*rows: str) -> bytes:
    """A CSV of patients that no other test sends: ``rows`` behind a source of their own."""
    source = secrets.token_hex(4)
    return (HEADER + "".join(f"{source},{row}\n" for row in rows)).encode()


@pytest.fixture
def admin(app: Flask, databases: Databases, cast: Cast) -> Browser:
    browser = Browser(app)
    browser.client.set_cookie("sigilo", open_session(databases, cast.admin), domain="localhost")
    return browser


def send(browser: Browser, name: str, content: bytes, **fields: str) -> TestResponse:
    data: Any = {"format": "auto", **fields, "file": (io.BytesIO(content), name)}
    return browser.post("/imports", data)


def sent(browser: Browser, name: str, content: bytes) -> uuid.UUID:
    answer = send(browser, name, content)
    found = JOB_PATH.match(answer.headers.get("Location", ""))
    assert found is not None, answer.get_data(as_text=True)
    return uuid.UUID(found[1])


def run_all(settings: Settings) -> None:
    while run_next_upload(settings) is not None:
        pass


def test_a_file_is_sent_watched_and_its_refusals_shown(
    admin: Browser, settings: Settings, databases: Databases
) -> None:
    rows = ("p-1,Maria,1980-05-01,female,,,,,,", "p-2,,1980-05-01,female,,,,,,")
    job_id = sent(admin, "novembro.csv", content_of(*rows))
    waiting = admin.get(f"/imports/{job_id}?done=import-started").get_data(as_text=True)
    assert "novembro.csv" in waiting
    assert "Importação iniciada." in waiting
    assert 'hx-trigger="every 1s"' in waiting
    run_all(settings)
    ended = admin.get(f"/imports/{job_id}").get_data(as_text=True)
    assert 'hx-trigger="every 1s"' not in ended
    assert "falta full_name" in ended
    assert "novembro.csv" in ended, "the name outlives the file"
    listed = admin.get("/imports").get_data(as_text=True)
    assert f'href="/imports/{job_id}"' in listed
    with databases.session(Principal.STAFF) as session:
        assert session.scalar(select(ImportFile).where(ImportFile.job_id == job_id)) is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("", b"", "Escolha um arquivo primeiro."),
        ("a.csv", b"", "O arquivo está vazio."),
        ("a.exe", b"x", "O nome do arquivo deve terminar em .json"),
        ("a.csv", b"\0\0", "O conteúdo não é do tipo"),
        ("a.json", b"id,name\n", "O conteúdo não é do tipo"),
    ],
)
def test_what_is_wrong_is_said_at_the_form(
    admin: Browser, databases: Databases, name: str, content: bytes, said: str
) -> None:
    answer = send(admin, name, content)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert re.search(rf'id="file-error"[^>]*>.*{re.escape(said)}', page), page
    assert 'aria-invalid="true"' in page


def test_a_format_that_is_none_is_an_error_and_a_file_too_large_is_named_so(admin: Browser) -> None:
    assert send(admin, "a.csv", content_of("p,A,,,,,,,,"), format="word").status_code == 422
    answer = send(admin, "a.csv", b"a" * (UPLOAD_MAX + 100_000))
    assert answer.status_code == 413
    assert "Escolha um arquivo menor" in answer.get_data(as_text=True)


def test_the_same_file_twice(admin: Browser, settings: Settings) -> None:
    content = content_of("p-1,Maria,1980-05-01,female,,,,,,")
    first = sent(admin, "a.csv", content)
    again = send(admin, "b.csv", content)
    assert again.status_code == 422
    assert "já está na fila ou sendo importado" in again.get_data(as_text=True)
    run_all(settings)
    second = sent(admin, "b.csv", content)
    page = admin.get(f"/imports/{second}").get_data(as_text=True)
    assert "Este mesmo arquivo já foi importado antes" in page
    assert f'href="/imports/{first}"' in page
    run_all(settings)


def test_cancelled_it_stays_so_until_it_goes_on(admin: Browser, settings: Settings, databases: Databases) -> None:
    job_id = sent(admin, "a.csv", content_of("p-1,Maria,1980-05-01,female,,,,,,"))
    page = f"/imports/{job_id}"
    answer = admin.post(f"{page}/cancel", form=page)
    assert answer.headers["Location"] == f"{page}?done=import-cancelled"
    run_all(settings)
    assert state_of(databases, job_id) == "CANCELLED"
    refused = admin.post(f"{page}/cancel", form=page)
    assert refused.status_code == 409
    assert "não há o que cancelar" in refused.get_data(as_text=True)
    assert admin.post(f"{page}/retry", form=page).status_code == 303
    run_all(settings)
    assert state_of(databases, job_id) == "DONE"
    assert admin.post(f"{page}/retry", form=page).status_code == 409
    with databases.session(Principal.WORKER) as session:
        actions = session.scalars(
            select(AuditOutbox.action).where(AuditOutbox.entity_id == job_id).order_by(AuditOutbox.id)
        ).all()
    assert actions == ["import.upload", "import.cancel", "import.retry", "import.start", "import.finish"]


def test_a_failed_import_keeps_its_file_and_goes_on(
    admin: Browser, settings: Settings, databases: Databases
) -> None:
    job_id = sent(admin, "a.csv", content_of("p-1,Maria,1980-05-01,female,,,,,,"))

    def fail(done: int, total: int | None) -> None:
        raise ValueError("Maria")

    with pytest.raises(ValueError, match="Maria"):
        run_next_upload(settings, progress=fail)
    page = admin.get(f"/imports/{job_id}").get_data(as_text=True)
    assert state_of(databases, job_id) == "FAILED"
    assert "Maria" not in page
    assert f'action="/imports/{job_id}/retry"' in page
    admin.post(f"/imports/{job_id}/retry", form=f"/imports/{job_id}")
    run_all(settings)
    assert state_of(databases, job_id) == "DONE"


def test_without_its_file_nothing_goes_on(admin: Browser, databases: Databases) -> None:
    job_id = make_job(databases, state="FAILED")
    page = admin.get(f"/imports/{job_id}").get_data(as_text=True)
    assert "/retry" not in page
    answer = admin.post(f"/imports/{job_id}/retry", form="/imports")
    assert answer.status_code == 409
    assert "Envie-o de novo" in answer.get_data(as_text=True)


def test_a_worker_that_went_silent_is_said(admin: Browser, databases: Databases) -> None:
    job_id = make_job(databases, state="RUNNING")
    with databases.session(Principal.WORKER) as session:
        quiet = {"heartbeat_at": text("now() - interval '2 minutes'"), "total": 10, "read": 4}
        session.execute(update(ImportJob).where(ImportJob.id == job_id).values(**quiet))
    page = admin.get(f"/imports/{job_id}").get_data(as_text=True)
    assert "O executor de tarefas não dá sinal" in page
    assert '<progress aria-label="Itens processados" value="4" max="10">' in page


def test_refusals_are_endless_and_their_page_costs_the_same_however_many(
    admin: Browser, databases: Databases
) -> None:
    job_id = make_job(databases, state="DONE")
    add_rejects(databases, job_id, range(1, 4))
    with counted(databases) as few:
        admin.get(f"/imports/{job_id}")
    add_rejects(databases, job_id, range(4, 121))
    with counted(databases) as many:
        page = admin.get(f"/imports/{job_id}").get_data(as_text=True)
    assert len(many) == len(few)
    seen = re.findall(r"<code>/f/(\d+)</code>", page)
    while (link := re.search(r'hx-get="(/imports/[^"]*cursor=[^"]+)"', page)) is not None:
        more = admin.get(link[1], headers={"HX-Request": "true", "HX-Target": "tbody#more-rejects"})
        page = more.get_data(as_text=True)
        assert "<html" not in page
        seen += re.findall(r"<code>/f/(\d+)</code>", page)
    assert [int(number) for number in seen] == list(range(1, 121))


def test_the_list_is_endless_and_costs_the_same_however_long(admin: Browser, databases: Databases) -> None:
    make_job(databases, state="DONE")
    with counted(databases) as few:
        admin.get("/imports")
    made = [make_job(databases, state="DONE") for _ in range(25)]
    with counted(databases) as many:
        page = admin.get("/imports").get_data(as_text=True)
    assert len(many) == len(few)
    link = re.search(r'hx-get="(/imports\?cursor=[^"]+)"', page)
    assert link is not None
    page += admin.get(link[1], headers={"HX-Request": "true", "HX-Target": "tbody#more-imports"}).get_data(as_text=True)
    assert all(f'id="import-{job_id}"' in page for job_id in made)
    row = admin.get(f"/imports/{made[0]}", headers={"HX-Request": "true", "HX-Target": f"tr#import-{made[0]}"})
    assert row.get_data(as_text=True).strip().startswith(f'<tr id="import-{made[0]}"')


def test_a_cursor_of_another_list_is_refused(admin: Browser, databases: Databases) -> None:
    assert admin.get(f"/imports/{make_job(databases, state='DONE')}?cursor=abc").status_code == 422


def make_job(databases: Databases, **values: Any) -> uuid.UUID:
    with databases.session(Principal.WORKER) as session:
        job = ImportJob(id=new_id(), format="csv", source_digest=secrets.token_bytes(32), **values)
        session.add(job)
        return job.id


def add_rejects(databases: Databases, job_id: uuid.UUID, numbers: range) -> None:
    with databases.session(Principal.WORKER) as session:
        for number in numbers:
            place = {"job_id": job_id, "file": "a.csv", "line": number, "pointer": f"/f/{number}"}
            session.add(ImportReject(id=new_id(), reason="is no date", **place))
            session.flush()


def state_of(databases: Databases, job_id: uuid.UUID) -> str:
    with databases.session(Principal.STAFF) as session:
        return session.get_one(ImportJob, job_id).state
