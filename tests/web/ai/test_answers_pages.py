"""Answers that can't be taken over or relied on, and hostile ones, as pages show them; and what figures say."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest
from flask import Flask
from sqlalchemy import func, select, text

from config import Principal, Settings
from integrations.language_model import Answer, ModelInfo, Prompt
from models import AiRequest, MedicalRecord
from models.engine import Databases
from services.ai_figures import ai_figures
from services.ai_prompts import summary
from services.ai_run import run_next
from services.field_encryption import field_cipher
from tests.factories.cast import Cast
from tests.factories.question import make_question
from tests.factories.signed_in import SignedIn
from tests.web.ai.conftest import DIAGNOSIS
from tests.web.ai.pages import words


def test_a_summary_without_room_for_its_note_is_refused_and_kept_on_the_page(
    doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    question = make_question(databases, settings, cast.doctor, patient_id)
    long = "Enxaqueca. " * 1815
    refused = doctor.send(f"/ai/questions/{question}/accept", {"text": long}, into="ai-summary")
    body = refused.get_data(as_text=True)
    assert refused.status_code == 422 and "aria-invalid" in body and long.strip() in body
    with databases.session(Principal.STAFF) as session:
        assert session.scalar(select(func.count()).where(MedicalRecord.patient_id == patient_id)) == 1


@pytest.mark.parametrize(
    "gone", ["expires_at = now()", "expires_at = now(), answer_cipher = NULL, question_cipher = NULL"]
)
def test_what_was_written_outlives_the_answer(
    doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID, gone: str
) -> None:
    question = make_question(databases, settings, cast.doctor, patient_id)
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(text(f"UPDATE ai_requests SET {gone} WHERE id = :id"), {"id": question})
    refused = doctor.send(f"/ai/questions/{question}/accept", {"text": "Enxaqueca & <b>aura</b>."}, into="ai-summary")
    body = refused.get_data(as_text=True)
    assert refused.status_code == 410 and 'id="ai-summary"' in body
    assert "Enxaqueca &amp; &lt;b&gt;aura&lt;/b&gt;." in body and "O que você tinha escrito" in body


def test_an_inactivated_source_is_no_lost_access(
    doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    make_question(databases, settings, cast.doctor, patient_id)
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(
            text(
                "UPDATE medical_records SET deleted_at = now(), deleted_by = author_id, deletion_reason = 'Duplicado'"
                " WHERE patient_id = :id"
            ),
            {"id": patient_id},
        )
    shown = words(doctor.page(f"/patients/{patient_id}/summary"))
    assert "foi inativado desde então" in shown and "Seu acesso" not in shown


def test_a_model_that_is_away_is_said_and_no_turn_is_promised(
    doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    question = make_question(databases, settings, cast.doctor, patient_id, is_answered=False)
    for state, told in (
        ("started_at = now()", "O modelo não responde agora"),
        ("started_at = NULL, taken_at = now()", "O modelo está ocupado"),
    ):
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(text(f"UPDATE ai_requests SET {state} WHERE id = :id"), {"id": question})
        shown = words(doctor.page(f"/patients/{patient_id}/summary"))
        assert told in shown and "próxima pergunta" not in shown


HOSTILE = (
    "![x](https://exfil.example/?q=1) <img src=x onerror=alert(1)> <script>alert(1)</script>"
    " [Enxaqueca](javascript:alert(1)) https://exfil.example/a"
)


@pytest.mark.parametrize("is_whole", [True, False])
def test_nothing_that_a_hostile_model_says_can_be_followed_loaded_or_run(
    doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID, is_whole: bool
) -> None:
    """Through the page, while it is written and when it is there: whatever the checks let by is escaped as well."""
    question = make_question(databases, settings, cast.doctor, patient_id, is_answered=False)
    with databases.session(Principal.STAFF) as session:
        sources = session.get_one(AiRequest, question).inputs
    said = {"sentences": [{"text": f"{DIAGNOSIS}. {HOSTILE}", "sources": [sources[0]["ref"]]}]}
    cipher = field_cipher(settings)
    if is_whole:
        model = Saying(summary.Summary.model_validate(said))
        while run_next(databases, cipher, model):
            pass
    else:
        sealed = cipher.encrypt_bytes(orjson.dumps(said)[:-3], question)
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(
                text(
                    "UPDATE ai_requests SET state = 'RUNNING', started_at = now(), partial_cipher = :sealed"
                    " WHERE id = :id"
                ),
                {"id": question, "sealed": sealed},
            )
    body = doctor.page(f"/patients/{patient_id}/summary", into="ai-summary").get_data(as_text=True)
    assert DIAGNOSIS in body
    assert not re.search(r"exfil|javascript:|onerror|<img|<script|alert\(1\)(?!\W*\w*</span>)", body), body
    if is_whole:
        unchecked = {"sentences": [{"text": f"{DIAGNOSIS}. {HOSTILE}", "sources": []}]}
        with databases.session(Principal.MIGRATOR) as session:
            sealed = cipher.encrypt_bytes(orjson.dumps(unchecked), question)
            kept = text("UPDATE ai_requests SET answer_cipher = :sealed WHERE id = :id")
            session.execute(kept, {"sealed": sealed, "id": question})
        body = doctor.page(f"/patients/{patient_id}/summary", into="ai-summary").get_data(as_text=True)
        assert "&lt;script&gt;" in body and not re.search(r"<img|<script|<a href=\"https?:", body)


class Saying:
    """A model that gives one answer, whatever it is asked."""

    def __init__(self, value: summary.Summary) -> None:
        self.value = value

    def info(self) -> ModelInfo:
        return ModelInfo("OLLAMA", "hostile:1b", "ab" * 32, {})

    def answer(self, prompt: Prompt, *, on_text: Callable[[str], None], is_cancelled: Callable[[], bool]) -> Answer:
        return Answer(self.value, self.info(), 1, 1, 0.1, 0.1, is_repaired=False)


def test_figures_say_what_share_is_taken_over_and_how_often_rules_stood_in(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    admin = SignedIn(app, databases, cast.admin)
    questions = [make_question(databases, settings, person, patient_id) for person in (cast.doctor, cast.nurse)]
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(
            text(
                "UPDATE ai_requests SET model = 'rules/share', verdict_at = now(), fallback_reason = 'ANSWER_TOO_LONG',"
                " verdict = CASE WHEN id = :one THEN 'ACCEPTED' ELSE 'REJECTED' END WHERE id = ANY (:all)"
            ),
            {"one": questions[0], "all": questions},
        )
    with databases.session(Principal.STAFF) as session:
        found = ai_figures(session, replace(cast.admin.actor, scopes=None, token_id=None))
    assert [each["accepted_share"] for each in found["models"] if each["model"] == "rules/share"] == [0.5]
    assert {"use": "SUMMARY", "reason": "ANSWER_TOO_LONG", "answers": 2} in found["fallbacks"]
    shown = words(admin.page("/ai"))
    assert "50%" in shown and "a resposta não terminava" in shown
