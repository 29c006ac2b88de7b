"""The worker: words as they come, stopping, dying, and a model that is away."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from config import Principal
from embedded.process import wait_until
from integrations.language_model import LanguageModelError
from integrations.ollama.slots import Slots
from models.ai import AI_FALLBACKS
from services import ai_run
from services.ai_cancel import cancel_request
from services.ai_refusal import allow_ai, refuse_ai
from tasks.inference import PATIENCE_SECONDS
from tests.ai.pipeline.clinic import Clinic, browsing
from tests.integrations.fake_ollama import Trouble


def running(clinic: Clinic) -> threading.Thread:
    thread = threading.Thread(target=clinic.run)
    thread.start()
    return thread


def has_words(clinic: Clinic, request_id: uuid.UUID) -> bool:
    return bool(clinic.show(request_id).so_far)


def test_words_are_shown_within_a_second_while_the_model_still_writes(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    clinic.server.misbehave(Trouble(hangs_after=16, between=0.1))
    asked = clinic.ask(patient_id)
    worker = running(clinic)
    try:
        assert wait_until(lambda: bool(clinic.server.chats), 10.0)
        began = time.monotonic()
        assert wait_until(lambda: has_words(clinic, asked.id), 10.0)
        assert time.monotonic() - began < 3.0
        shown = clinic.show(asked.id)
        assert shown.state == "RUNNING" and shown.answer is None and shown.so_far[0].startswith("Em")
        assert "ai.read" not in clinic.events(patient_id), "asking says it: not an event for each look"
        behind = clinic.ask(patient_id, clinic.cast.nurse)
        assert clinic.show(behind.id, clinic.cast.nurse).ahead == 1, "an honest place in the queue"
    finally:
        with clinic.databases.session(Principal.STAFF) as session:
            assert cancel_request(session, browsing(clinic.cast.doctor), asked.id)
        worker.join(timeout=5.0)
    assert not worker.is_alive(), "it stops at once"
    assert clinic.server.hung_up.wait(5.0)
    row = clinic.row(asked.id)
    assert (row.state, row.question_cipher, row.partial_cipher, row.answer_cipher) == ("CANCELLED", None, None, None)
    assert clinic.events(patient_id).count("ai.cancel") == 1


def test_a_refusal_stops_an_answer_that_is_being_written(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    clinic.server.misbehave(Trouble(hangs_after=10, between=0.1))
    asked = clinic.ask(patient_id)
    worker = running(clinic)
    assert wait_until(lambda: bool(clinic.server.chats), 10.0)
    with clinic.databases.session(Principal.STAFF) as session:
        refuse_ai(session, browsing(clinic.cast.doctor), patient_id)
    worker.join(timeout=5.0)
    assert not worker.is_alive()
    assert clinic.row(asked.id).state == "CANCELLED" and clinic.show(asked.id).so_far == ()
    with clinic.databases.session(Principal.STAFF) as session:
        allow_ai(session, browsing(clinic.cast.doctor), patient_id)


def test_what_a_dead_worker_left_is_taken_up_again(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    asked = clinic.ask(patient_id)
    clinic.set(asked.id, "state = 'RUNNING', attempts = 1, started_at = now(), heartbeat_at = now()")
    assert not clinic.run(), "somebody is at it"
    clinic.set(asked.id, f"heartbeat_at = now() - interval '{ai_run.LOST_SECONDS + 1} seconds'")
    assert clinic.run()
    row = clinic.row(asked.id)
    assert (row.state, row.attempts) == ("DONE", 2)


def test_what_kills_its_workers_is_given_up(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    asked = clinic.ask(patient_id)
    clinic.set(asked.id, f"attempts = {ai_run.MOST_ATTEMPTS}")
    assert clinic.run()
    shown = clinic.show(asked.id)
    assert shown.state == "FAILED" and shown.failure == ai_run.DIED and clinic.server.chats == []


def test_a_late_worker_overwrites_nothing(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    clinic.server.misbehave(Trouble(before_first=2.0))
    asked = clinic.ask(patient_id)
    worker = running(clinic)
    assert wait_until(lambda: bool(clinic.server.chats), 10.0)
    clinic.set(asked.id, "attempts = attempts + 1")  # another took it for lost
    worker.join(timeout=10.0)
    row = clinic.row(asked.id)
    assert (row.state, row.answer_cipher) == ("RUNNING", None)
    clinic.set(asked.id, "state = 'CANCELLED', finished_at = now()")


@pytest.mark.parametrize("trouble", [Trouble(status=(500, "boom")), Trouble(cut_after=2)])
def test_a_model_that_is_away_is_waited_for_and_then_rules_answer(clinic: Clinic, trouble: Trouble) -> None:
    patient_id, _ = clinic.patient()
    clinic.server.misbehave(*[trouble] * 20)
    asked = clinic.ask(patient_id)
    assert clinic.run()
    row = clinic.row(asked.id)
    assert (row.state, row.attempts, row.answer_cipher) == ("WAITING", 0, None), "the queue holds it"
    assert not clinic.run(), "not at once"
    age = ai_run.WAITS_FOR_MODEL + 1
    long_ago = f"now() - interval '{age} seconds'"
    clinic.set(asked.id, f"created_at = {long_ago}, next_attempt_at = now()")
    assert clinic.run()
    assert clinic.row(asked.id).state == "WAITING", "a long queue is no model that is away"
    clinic.set(asked.id, f"started_at = {long_ago}, next_attempt_at = now()")
    assert clinic.run()
    shown = clinic.show(asked.id)
    assert (shown.state, shown.engine, shown.model) == ("DONE", "RULES", "rules/1")
    assert shown.answer is not None and shown.fallback_reason == "UNAVAILABLE" and shown.answer["sentences"]


def test_a_model_that_answers_somebody_else_is_waited_for_longer(clinic: Clinic) -> None:
    asked = clinic.ask(clinic.patient()[0])
    long_ago = f"now() - interval '{ai_run.WAITS_FOR_MODEL + 1} seconds'"
    clinic.set(asked.id, f"created_at = {long_ago}, started_at = {long_ago}")
    slots = Slots(clinic.settings.sigilo_home / "ai", clinic.server.url, clinic.settings.ai_parallel)
    with slots.take():
        assert clinic.run()
    row = clinic.row(asked.id)
    assert (row.state, row.attempts, row.started_at) == ("WAITING", 0, None)
    assert row.taken_at is not None and clinic.show(asked.id).waits_for == "TAKEN"
    clinic.server.misbehave(Trouble(status=(500, "boom")))
    clinic.set(asked.id, "next_attempt_at = now()")
    assert clinic.run()
    assert clinic.row(asked.id).state == "WAITING", "the model's minute begins after the wait"
    assert clinic.show(asked.id).waits_for == "AWAY", "which the card says"
    clinic.set(asked.id, "next_attempt_at = now()")
    assert clinic.run()
    assert clinic.show(asked.id).engine == "OLLAMA"


def test_nobody_waits_for_ever_for_a_model_that_answers_somebody_else(clinic: Clinic) -> None:
    asked = clinic.ask(clinic.patient()[0])
    slots = Slots(clinic.settings.sigilo_home / "ai", clinic.server.url, clinic.settings.ai_parallel)
    with slots.take():
        assert clinic.run()
        assert clinic.row(asked.id).state == "WAITING"
        past = f"now() - interval '{ai_run.WAITS_FOR_TURN + 1} seconds'"
        clinic.set(asked.id, f"taken_at = {past}, next_attempt_at = now()")
        assert clinic.run()
    shown = clinic.show(asked.id)
    assert (shown.state, shown.engine, shown.fallback_reason) == ("DONE", "RULES", "TAKEN")
    assert clinic.server.chats == []


def test_an_evaluation_lets_a_question_of_the_clinic_in(clinic: Clinic) -> None:
    """It takes the slot again at once, unless somebody is at the door."""
    slots = Slots(clinic.settings.sigilo_home / "ai", clinic.server.url, clinic.settings.ai_parallel)
    asked = clinic.ask(clinic.patient()[0])
    over, answers = threading.Event(), []

    def evaluate() -> None:
        while not over.is_set():
            slots.give_way()
            with slots.take(60.0, is_pressed=False):
                answers.append(time.monotonic())
                over.wait(0.5)

    evaluation = threading.Thread(target=evaluate)
    evaluation.start()
    try:
        assert wait_until(lambda: bool(answers), 10.0)
        assert clinic.run(patience=PATIENCE_SECONDS)
        assert clinic.row(asked.id).state == "DONE"
        assert wait_until(lambda: answers[-1] > answers[0], 10.0), "and goes on"
    finally:
        over.set()
        evaluation.join(timeout=15.0)


def test_an_expired_question_is_not_answered(clinic: Clinic) -> None:
    asked = clinic.ask(clinic.patient()[0])
    clinic.set(asked.id, "expires_at = now() - interval '1 second'")
    assert clinic.run()
    assert clinic.row(asked.id).state == "CANCELLED" and clinic.server.chats == []


def test_every_error_of_a_model_is_a_reason_that_a_row_may_have() -> None:
    def below(kind: type[LanguageModelError]) -> Iterator[type[LanguageModelError]]:
        for each in kind.__subclasses__():
            yield from (each, *below(each))

    assert {each.code for each in below(LanguageModelError)} - {"CANCELLED"} == set(AI_FALLBACKS)


def test_without_a_model_rules_answer_at_once(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    asked = clinic.ask(patient_id)
    assert clinic.run(has_model=False)
    shown = clinic.show(asked.id)
    assert shown.engine == "RULES" and shown.answer is not None
    assert any("Hipertensão essencial" in each["text"] for each in shown.answer["sentences"])
    assert all(each["sources"] for each in shown.answer["sentences"])
    assert clinic.server.requests == []


def test_who_waits_in_front_of_a_patient_goes_first(clinic: Clinic) -> None:
    first, second = (clinic.ask(clinic.patient()[0]) for _ in range(2))
    clinic.set(second.id, "rank = 20")
    assert clinic.run(has_model=False)
    assert (clinic.row(first.id).state, clinic.row(second.id).state) == ("WAITING", "DONE")
