"""The summary in a real browser: words come by themselves, and the page stops asking at the end."""

from __future__ import annotations

import json
import re
import threading
import uuid
from statistics import median

import pytest
from playwright.sync_api import Request, expect

from config import Principal, Settings
from integrations.ollama import make_language_model
from models.engine import Databases
from services.ai_run import run_next
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.e2e.conftest import OpenAs
from tests.factories.cast import Cast, join_team, make_patient
from tests.factories.question import empty_queue
from tests.integrations.fake_ollama import Trouble, fake_ollama

DIAGNOSIS = "Hipotireoidismo primário"


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    made = make_patient(databases, settings, "Iolanda Que Pergunta")
    join_team(databases, made, cast.doctor.id)
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(made, {"title": "Consulta", "diagnosis": DIAGNOSIS, "treatment": "Levotiroxina 50 mcg"})
        create_record(session, cast.doctor.actor, field_cipher(settings), new)
    return made


def test_asked_by_keyboard_answered_and_taken_over(
    open_as: OpenAs, databases: Databases, settings: Settings, patient_id: uuid.UUID
) -> None:
    empty_queue(databases)
    page = open_as("doctor")
    page.goto(f"/patients/{patient_id}")
    looks: list[Request] = []
    page.on("request", lambda sent: looks.append(sent) if sent.url.endswith("/summary") else None)
    card = page.locator("#ai-summary")
    card.get_by_role("button", name="Resumir o prontuário").focus()
    page.keyboard.press("Enter")
    expect(card.get_by_role("status")).to_contain_text("A sua é a próxima pergunta.")
    with page.expect_response("**/summary"):
        pass
    assert looks[-1].headers["sigilo-background"] == "1", "no sign of life of its person"
    while run_next(databases, field_cipher(settings), None):
        pass
    expect(card).to_contain_text(DIAGNOSIS)
    expect(card).to_contain_text("extraído por regras, sem modelo")
    before = len(looks)
    page.wait_for_function("() => document.querySelector('#ai-summary[hx-trigger]') === null")
    with page.expect_response("**/live?**"):
        pass
    with page.expect_response("**/live?**"):
        pass
    assert len(looks) == before, "at the end it stops asking"
    card.get_by_text("Levar para um registro").click()
    page.get_by_label("O que o registro vai dizer").fill("Hipotireoidismo compensado.")
    page.get_by_role("button", name="Salvar como meu registro").click()
    page.wait_for_url("**/medical-records/*")
    expect(page.locator("#main")).to_contain_text("Hipotireoidismo compensado.")
    expect(page.locator("#main")).to_contain_text("Resumo feito com apoio de extração automática por regras")


# Gives when words that are still being written first stand on the page, in milliseconds since the epoch.
FIRST_WORDS = """() => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error("no words came")), 20000);
  const look = () => { if (document.querySelector("#ai-summary .text")) resolve(Date.now()); };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
  look();
})"""


WORD = "Palavras"


def said_at(sent: list[tuple[float, str]]) -> float:
    """When the first word was said, to its end."""
    text = ""
    for at, piece in sent:
        text += piece
        if f"{WORD} " in text:
            return at
    raise AssertionError(text)


def test_the_first_words_stand_there_within_a_second_of_the_model_saying_them(
    open_as: OpenAs, databases: Databases, settings: Settings, patient_id: uuid.UUID
) -> None:
    """By the model's own clock and the page's, which are one machine's; half of the times, for a busy one."""
    words = f"{WORD} de um modelo que escreve devagar e ainda não terminou."
    said = {"sentences": [{"text": words, "sources": ["R1"]}]}
    delays = []
    with fake_ollama() as ollama:
        model = make_language_model(settings.model_copy(update={"ollama_url": ollama.url}))
        ollama.answer_with(json.dumps(said, ensure_ascii=False))
        page = open_as("doctor", f"/patients/{patient_id}")
        card = page.locator("#ai-summary")
        for _ in range(5):
            empty_queue(databases)
            ollama.misbehave(Trouble(between=0.1, hangs_after=22))
            card.get_by_role("button", name=re.compile("Resumir o prontuário|Perguntar de novo")).click()
            expect(card.get_by_role("status")).to_be_visible()
            worker = threading.Thread(target=run_next, args=(databases, field_cipher(settings), model))
            worker.start()
            delays.append(page.evaluate(FIRST_WORDS) / 1000 - said_at(ollama.sent))
            expect(card).to_contain_text("ainda não conferido")
            card.get_by_role("button", name="Parar").click()
            expect(card.get_by_role("button", name="Parar")).to_be_hidden()
            worker.join(timeout=10.0)
            assert not worker.is_alive()
    assert 0 < median(delays) <= 1.0, delays
