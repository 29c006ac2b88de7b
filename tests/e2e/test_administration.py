"""An administrator sends a file and sees it taken, narrows the log of quotas, and watches the system."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import expect

from config import Principal, Settings
from models import ImportJob, JobRun, RateLimitLog, new_id
from models.engine import Databases
from services.import_run import run_next_upload
from tests.e2e.conftest import OpenAs
from tests.factories.cast import Cast

HEADER = "source,patient_id,full_name,birth_date,gender,phone,address,city,state,postal_code,deceased\n"


def write_patients(folder: Path, fine: int, wrong: int) -> Path:
    source, path = secrets.token_hex(4), folder / "pacientes.csv"
    rows = [f"{source},p{number},Ana {number},1980-05-01,female,,,,,,\n" for number in range(fine)]
    rows += [f"{source},q{number},Ana {number},1980-13-45,female,,,,,,\n" for number in range(wrong)]
    path.write_text(HEADER + "".join(rows))
    return path


def test_an_import_from_the_form_to_the_list_of_what_was_refused(
    open_as: OpenAs, settings: Settings, tmp_path: Path
) -> None:
    page = open_as("admin", "/imports")
    watching = open_as("admin", "/imports")
    page.get_by_label("Arquivo", exact=True).set_input_files(write_patients(tmp_path, fine=20, wrong=60))
    page.get_by_role("button", name="Importar").click()
    expect(page.locator("h1")).to_have_text("pacientes.csv")
    expect(page.locator("#job .state.queued")).to_be_visible()
    expect(watching.locator("#newest tr").first).to_contain_text("pacientes.csv")
    while run_next_upload(settings) is not None:
        pass
    expect(page.locator("#job .state.done")).to_be_visible()
    expect(page.locator("#job")).not_to_have_attribute("hx-trigger", re.compile("every"))
    expect(page.locator(".counts")).to_contain_text("20")
    expect(watching.locator("#newest tr").first.locator(".state.done")).to_be_visible()
    page.locator("#more-rejects").scroll_into_view_if_needed()
    expect(page.locator(".rejects tbody tr")).to_have_count(60)
    expect(page.locator(".rejects tbody tr").last).to_contain_text("não é uma data que exista")
    with page.expect_download() as download:
        page.get_by_role("link", name="Baixar em CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert (lines[0], len(lines)) == ("file,line,pointer,reason", 61)


def test_a_file_too_large_is_said_before_it_is_sent(open_as: OpenAs, tmp_path: Path) -> None:
    page = open_as("admin", "/imports")
    path = tmp_path / "grande.csv"
    with path.open("wb") as file:
        file.truncate(33 * 1024 * 1024)
    page.get_by_label("Arquivo", exact=True).set_input_files(path)
    expect(page.locator("#file-error")).to_contain_text("mais de 32 MB")
    page.get_by_role("button", name="Importar").click()
    expect(page).to_have_url(re.compile("/imports$"))


def test_a_running_import_is_cancelled_by_keyboard(open_as: OpenAs, databases: Databases) -> None:
    with databases.session(Principal.WORKER) as session:
        job = ImportJob(id=new_id(), state="RUNNING", format="csv", source_digest=secrets.token_bytes(32), total=10)
        session.add(job)
    page = open_as("admin", f"/imports/{job.id}")
    page.get_by_role("button", name="Cancelar", exact=True).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Cancelar a importação").press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Importação cancelada")
    expect(page.locator("#job .state.cancelled")).to_be_visible()


def test_the_log_of_quotas_is_narrowed_without_loading_the_page_again(
    open_as: OpenAs, databases: Databases, cast: Cast
) -> None:
    with databases.session(Principal.STAFF) as session:
        for bucket, ip in (("api", "203.0.113.70"), ("login", "203.0.113.71")):
            values = {"user_id": cast.doctor2.id, "route": "/api/x", "quota": "20/60s", "retry_after": 9}
            session.add(RateLimitLog(id=new_id(), bucket=bucket, outcome="refused", ip=ip, **values))
    page = open_as("admin", "/rate-limits")
    expect(page.locator("#log")).to_contain_text("203.0.113.70")
    page.get_by_label("Tipo de requisição").select_option("login")
    expect(page.locator("#log")).not_to_contain_text("203.0.113.70")
    expect(page.locator("#log")).to_contain_text("203.0.113.71")
    expect(page).to_have_url(re.compile("bucket=login"))
    page.reload()
    expect(page.get_by_label("Tipo de requisição")).to_have_value("login")


def test_the_system_page_refreshes_itself(open_as: OpenAs, databases: Databases) -> None:
    page = open_as("admin", "/system")
    expect(page.locator("h1")).to_have_text("Sistema")
    slot = datetime.now(UTC)
    with databases.session(Principal.WORKER) as session:
        session.add(JobRun(job="audit.partitions", slot=slot, finished_at=slot, outcome="success", rows=4321))
    expect(page.locator("#system")).to_contain_text("4.321", timeout=10_000)
