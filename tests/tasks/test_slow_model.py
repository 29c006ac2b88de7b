"""A model that never ends delays nobody: the trail is sealed, other queues work, and a page answers meanwhile.

With worker processes as ``sigilo run`` starts them: for the trail, for questions, and for everything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from config import Principal, Settings
from embedded.serving import audit_worker_command, inference_worker_command, other_worker_command
from integrations.broker import Publisher
from models.engine import Databases
from services.ai_request import ask_summary
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.audit.trail import as_superuser
from tests.factories.cast import Cast, join_team, make_cast, make_patient
from tests.factories.signed_in import SignedIn
from tests.integrations.fake_ollama import FakeOllama, Trouble, fake_ollama
from tests.tasks.conftest import Process, wait_for
from web.app import make_app

Start = Callable[[tuple[str, ...]], Process]
SECONDS = 10.0  # of an act until it is sealed, and of a page: seconds on an idle machine, less than a busy one may take
COMMANDS = (audit_worker_command(), inference_worker_command(), other_worker_command())


@pytest.fixture
def ollama(environment: dict[str, str]) -> Iterator[FakeOllama]:
    with fake_ollama() as running:
        running.misbehave(*[Trouble(endless=True, between=0.2)] * 10)
        environment["OLLAMA_URL"] = running.url
        yield running


@pytest.fixture
def cast(work_databases: Databases, work_settings: Settings) -> Cast:
    return make_cast(work_databases, work_settings)


def act(databases: Databases, settings: Settings, cast: Cast) -> None:
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(cast.patient_id, {"title": "Consulta", "diagnosis": "Asma"})
        create_record(session, cast.doctor.actor, field_cipher(settings), new)


def ask(databases: Databases, settings: Settings, cast: Cast, ollama: FakeOllama) -> None:
    """A question about a patient of its own."""
    patient_id = make_patient(databases, settings, "Quem Espera")
    join_team(databases, patient_id, cast.doctor.id)
    asker = replace(cast.doctor.actor, scopes=None, token_id=None)
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(patient_id, {"title": "Consulta", "diagnosis": "Asma"})
        create_record(session, cast.doctor.actor, field_cipher(settings), new)
        here = settings.model_copy(update={"ollama_url": ollama.url})
        ask_summary(session, asker, here, field_cipher(settings), patient_id)


def test_questions_that_never_end_delay_neither_the_trail_nor_other_work_nor_a_page(
    start: Start, work_databases: Databases, work_settings: Settings, superuser: str, stoppable_url: str, cast: Cast,
    ollama: FakeOllama,
) -> None:  # fmt: skip
    for command in COMMANDS:
        start(tuple(command[1:]))
    for _ in range(3):
        ask(work_databases, work_settings, cast, ollama)
    publisher = Publisher(stoppable_url)
    for _ in range(3):
        publisher.send("inference.run")
    wait_for(lambda: ollama.being_answered == 1, 60.0)

    def waiting() -> int:
        with as_superuser(superuser) as connection:
            return int(connection.execute("SELECT count(*) FROM audit_outbox").fetchall()[0][0])

    def runs() -> int:
        with as_superuser(superuser) as connection:
            return int(connection.execute("SELECT count(*) FROM job_runs WHERE outcome = 'success'").fetchall()[0][0])

    publisher.send("audit.drain")
    wait_for(lambda: waiting() == 0, 60.0)  # the workers have started
    act(work_databases, work_settings, cast)
    publisher.send("audit.drain")
    wait_for(lambda: waiting() == 0, SECONDS)
    publisher.send("cleanup.expired", slot="2026-11-24T03:17:00+00:00")
    wait_for(lambda: runs() == 1, 60.0)
    app = make_app(work_settings.model_copy(update={"ollama_url": ollama.url}), work_databases)
    asked = time.monotonic()
    page = SignedIn(app, work_databases, cast.doctor).page(f"/patients/{cast.patient_id}")
    assert page.status_code == 200 and time.monotonic() - asked < SECONDS
    assert ollama.being_answered == 1 and len(ollama.chats) == 1, "it is still at the first question"
