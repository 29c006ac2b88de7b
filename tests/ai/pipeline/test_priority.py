"""A priority suggested at triage: with its reasons, never below the fixed limits unseen, and set by a person alone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from config import Principal
from models import Visit
from services.ai_refusal import refuse_ai
from services.errors import Conflict, Forbidden, Invalid
from services.pseudonym_leaks import leaks
from services.visit_close import close_visit
from services.visit_triage import Triage, triage_visit
from services.vital_signs import VitalSigns
from tests.ai.pipeline.clinic import FULL_NAME, MOTHER, PHONE, STREET, Clinic, browsing, told

NOTE = "Prioridade definida com apoio de inteligência artificial (modelo local llama3.2:3b, "


def saying(priority: str, text: str = "Queixa de tosse seca.") -> Callable[[dict[str, Any]], str]:
    def say(asked: dict[str, Any]) -> str:
        given = {"priority": priority, "reasons": [{"text": text, "sources": ["QUEIXA"]}]}
        return json.dumps(given, ensure_ascii=False)

    return say


def triage(clinic: Clinic, visit_id: uuid.UUID, priority: str, helped_by: uuid.UUID) -> str:
    """The note's text."""
    with clinic.databases.session(Principal.STAFF) as session:
        actor = browsing(clinic.cast.nurse)
        noted = Triage(priority, VitalSigns(heart_rate=88), "Tosse seca")
        done = triage_visit(session, actor, clinic.cipher, visit_id, noted, helped_by=[helped_by])
        return done.record.record.notes or ""


def priority_of(clinic: Clinic, visit_id: uuid.UUID) -> str:
    with clinic.databases.session(Principal.STAFF) as session:
        return session.get_one(Visit, visit_id).priority


def test_suggested_with_reasons_and_set_by_the_nurse(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    visit_id = clinic.visit(patient_id, "Tosse seca")
    clinic.server.answer_with(saying("HIGH"))
    asked = clinic.ask_priority(visit_id, "Cansada", heart_rate=88, temperature=37.5)
    assert clinic.run()
    sent = told(clinic.server.chats[0])
    assert sent["queixa"]["texto"] == "Tosse seca\nCansada" and "37,5" in sent["sinais_vitais"]["texto"]
    shown = clinic.show(asked, clinic.cast.nurse)
    assert shown.answer is not None and shown.visit_priority == "NORMAL"
    assert shown.answer["priority"] == "HIGH" and shown.answer["rules"] is None
    assert shown.answer["reasons"][0]["sources"][0]["kind"] == "complaint"
    assert priority_of(clinic, visit_id) == "NORMAL", "nothing changes until somebody sets it"
    note = triage(clinic, visit_id, "HIGH", asked)
    assert "FC 88 bpm" in note and NOTE in note
    assert priority_of(clinic, visit_id) == "HIGH" and clinic.row(asked).verdict == "ACCEPTED"


def test_what_the_nurse_sets_in_its_place_is_an_edit(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    visit_id = clinic.visit(patient_id, "Tosse seca")
    clinic.server.answer_with(saying("HIGH"))
    asked = clinic.ask_priority(visit_id, heart_rate=88)
    assert clinic.run()
    assert NOTE in triage(clinic, visit_id, "CRITICAL", asked)
    assert clinic.row(asked).verdict == "EDITED"


def test_a_model_below_the_fixed_limits_is_shown_beside_them(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    visit_id = clinic.visit(patient_id, "Tosse seca")
    clinic.server.answer_with(saying("LOW"))
    asked = clinic.ask_priority(visit_id, oxygen_saturation=84, heart_rate=135)
    assert clinic.run()
    answer = clinic.show(asked, clinic.cast.nurse).answer
    assert answer is not None and answer["priority"] == "LOW"
    assert answer["rules"]["priority"] == "CRITICAL"
    assert any("SpO2 84%" in each["text"] for each in answer["rules"]["reasons"])
    assert NOTE in triage(clinic, visit_id, "CRITICAL", asked), "what the limits ask for was suggested too"
    assert clinic.row(asked).verdict == "ACCEPTED"


def test_a_model_without_a_reason_suggests_nothing(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    visit_id = clinic.visit(patient_id, "Tosse seca")
    clinic.server.answer_with(saying("LOW", text="Tem pneumonia (J18.9)."))
    asked = clinic.ask_priority(visit_id, heart_rate=88)
    assert clinic.run()
    answer = clinic.show(asked, clinic.cast.nurse).answer
    assert answer is not None and (answer["priority"], answer["reasons"]) == (None, [])


def test_rules_without_a_model(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    visit_id = clinic.visit(patient_id, "Dor no peito")
    asked = clinic.ask_priority(visit_id, heart_rate=88)
    assert clinic.run(has_model=False)
    shown = clinic.show(asked, clinic.cast.nurse)
    assert shown.engine == "RULES" and shown.answer is not None and shown.answer["rules"] is None
    assert shown.answer["priority"] in ("HIGH", "CRITICAL")
    assert "Dor no peito" in shown.answer["reasons"][0]["text"]


def test_an_answer_of_another_visit_did_not_help(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    first = clinic.visit(patient_id, "Tosse seca")
    clinic.server.answer_with(saying("HIGH"))
    asked = clinic.ask_priority(first, heart_rate=88)
    assert clinic.run()
    with clinic.databases.session(Principal.STAFF) as session:
        close_visit(session, browsing(clinic.cast.doctor), clinic.cipher, first, status="LEFT")
    with pytest.raises(Conflict):
        clinic.ask_priority(first)
    second = clinic.visit(patient_id, "Tosse seca")
    assert NOTE not in triage(clinic, second, "HIGH", asked)


def test_who_may_ask_and_about_what(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    visit_id = clinic.visit(patient_id, "Sigiloso demais")
    clinic.write_for(visit_id, patient_id, title="Sigiloso demais", restricted=True)
    with pytest.raises(Forbidden):
        clinic.ask_priority(visit_id, person=clinic.cast.nurse2)
    with pytest.raises(Invalid):
        clinic.ask_priority(visit_id, systolic=120)
    clinic.ask_priority(visit_id, "Tosse", clinic.cast.doctor2, heart_rate=88)
    clinic.server.answer_with(saying("NORMAL"))
    assert clinic.run()
    assert "Sigiloso" not in clinic.server.every_byte.decode(), "a restricted visit's reason is hidden outside the team"


def test_no_byte_of_a_question_for_triage_names_anybody_nor_does_its_repair(clinic: Clinic) -> None:
    patient_id, identifiers = clinic.patient()
    visit_id = clinic.visit(patient_id, f"{FULL_NAME} com tosse, mora na {STREET}")

    def wrong_at_first(asked: dict[str, Any]) -> str:
        return saying("HIGH")(asked) if len(clinic.server.chats) > 1 else '{"priority": "URGENT"}'

    clinic.server.answer_with(wrong_at_first)
    asked = clinic.ask_priority(visit_id, f"Filha de {MOTHER}, tel. {PHONE}; nasceu em 14/03/1957", heart_rate=88)
    assert clinic.run()
    assert len(clinic.server.chats) == 2 and clinic.row(asked).is_repaired, "both of them"
    sent = clinic.server.every_byte.decode()
    assert "tosse" in sent and leaks(sent, identifiers) == []


def test_a_refusal_stops_questions_for_triage(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    visit_id = clinic.visit(patient_id, "Tosse seca")
    clinic.server.answer_with(saying("HIGH"))
    done = clinic.ask_priority(visit_id, heart_rate=88)
    assert clinic.run()
    waiting = clinic.ask_priority(visit_id, "Pior desde ontem", heart_rate=90)
    sent = len(clinic.server.chats)
    with clinic.databases.session(Principal.STAFF) as session:
        refuse_ai(session, browsing(clinic.cast.reception), patient_id)
    with pytest.raises(Conflict):
        clinic.ask_priority(visit_id, "De novo", heart_rate=91)
    clinic.run()
    assert len(clinic.server.chats) == sent
    for request_id in (done, waiting):
        shown = clinic.show(request_id, clinic.cast.nurse)
        assert shown.answer is None and shown.hidden is not None
        assert clinic.row(request_id).question_cipher is None
