"""Answers of a model over real HTTP: what it is asked, what it is believed, and what is told of where it came from."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from config import Principal, Settings
from integrations.language_model import (
    Answer,
    AnswerCancelled,
    AnswerInvalid,
    AnswerTooLong,
    ModelBusy,
    ModelMissing,
    Prompt,
    PromptTooLong,
    prompt_room,
)
from integrations.ollama import make_language_model
from integrations.ollama.breaker import Breaker
from integrations.ollama.model import OllamaModel
from integrations.ollama.server import OllamaServer
from integrations.ollama.slots import Slots
from integrations.ollama.watch import Limits
from tests.conftest import make_settings
from tests.integrations.fake_ollama import DEFAULT_MODEL, FakeOllama, Trouble, fake_ollama
from tests.tasks.conftest import wait_for

LIMITS = Limits(connect=2.0, first=5.0, between=5.0, whole=20.0, question=5.0)


class Sentence(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str
    sources: list[str] = Field(max_length=3)


class Summary(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sentences: list[Sentence]
    urgency: Literal["HIGH", "LOW"] = "LOW"


RIGHT = json.dumps({"sentences": [{"text": "Dor há três dias, sem febre. Ação já.", "sources": ["R1"]}]})
PROMPT = Prompt("Resuma.", '{"R1": "dor há 3 dias"}', Summary, "summary/1")


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with fake_ollama() as running:
        running.answer_with(RIGHT)
        yield running


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(dict.fromkeys(map(str, Principal), "postgresql:///none"), "redis://127.0.0.1:1/0", tmp_path)


Make = Callable[..., OllamaModel]


@pytest.fixture
def make(server: FakeOllama, settings: Settings, tmp_path: Path) -> Make:
    def made(limits: Limits = LIMITS, *, patience: float = 0.0, **changed: Any) -> OllamaModel:
        here = settings.model_copy(update=changed)
        return OllamaModel(
            OllamaServer(server.url, limits, pauses=(0.01, 0.01)), here, breaker=Breaker(), patience=patience,
            slots=Slots(tmp_path / "slots", server.url, here.ai_parallel),
        )  # fmt: skip

    return made


def ask(model: OllamaModel, prompt: Prompt = PROMPT, *, texts: list[str] | None = None) -> Answer:
    seen: list[str] = [] if texts is None else texts
    return model.answer(prompt, on_text=seen.append, is_cancelled=lambda: False)


def test_answer_is_validated_and_says_where_it_came_from(server: FakeOllama, make: Make) -> None:
    texts: list[str] = []
    answer = ask(make(), texts=texts)
    assert answer.value == Summary.model_validate_json(RIGHT)
    assert (answer.info.engine, answer.info.name) == ("OLLAMA", DEFAULT_MODEL)
    assert answer.info.digest == server.models[DEFAULT_MODEL].digest
    assert answer.info.parameters == {"temperature": 0, "seed": 2454, "num_ctx": 8192, "num_predict": 800}
    assert answer.prompt_tokens == (len(PROMPT.system) + len(PROMPT.content)) // 4
    assert answer.answer_tokens == -(-len(RIGHT) // 4)
    assert 0 < (answer.first_text_seconds or 0) <= answer.seconds < 5
    assert not answer.is_repaired
    assert texts[-1] == RIGHT
    assert all(RIGHT.startswith(text) for text in texts)


def test_question_is_what_the_interface_documents(server: FakeOllama, make: Make) -> None:
    ask(make(ai_keep_alive="-1", ai_answer_tokens=500))
    (asked,) = server.chats
    assert asked == {
        "model": DEFAULT_MODEL, "stream": True, "think": False, "keep_alive": -1, "tools": [],
        "format": Summary.model_json_schema(),
        "messages": [
            {"role": "system", "content": PROMPT.system}, {"role": "user", "content": PROMPT.content},
        ],
        "options": {"temperature": 0, "seed": 2454, "num_ctx": 8192, "num_predict": 500},
    }  # fmt: skip
    assert {request.path for request in server.requests} == {"/api/tags", "/api/show", "/api/chat"}


def test_model_is_asked_for_no_more_context_than_it_was_made_for(server: FakeOllama, make: Make) -> None:
    server.have(DEFAULT_MODEL, context_length=2048)
    assert ask(make()).info.parameters["num_ctx"] == 2048


def test_text_comes_while_the_model_writes(server: FakeOllama, make: Make) -> None:
    server.misbehave(Trouble(between=0.03))
    came: list[tuple[float, str]] = []
    began = time.monotonic()
    make().answer(
        PROMPT, on_text=lambda text: came.append((time.monotonic() - began, text)), is_cancelled=lambda: False
    )
    moments, texts = zip(*came, strict=True)
    assert moments[0] < 0.5
    assert texts[0] in RIGHT
    assert len(texts[0]) < len(RIGHT) / 2
    assert 2 < len(texts) <= moments[-1] / 0.2 + 2
    assert list(texts) == sorted(texts, key=len)


# -- answers that don't fit ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('{"sentences": [{"text": "Sem fontes"}]}', "- /sentences/0/sources: Field required"),
        ('{"sentences": [], "diagnosis": "asma"}', "- /diagnosis: Extra inputs are not permitted"),
        ('{"sentences": [], "urgency": "MEDIUM"}', "- /urgency: Input should be 'HIGH' or 'LOW'"),
        ('{"sentences": [{"text": 5, "sources": []}]}', "- /sentences/0/text: Input should be a valid string"),
        ('{"sentences": []', "- /: Invalid JSON"),
        ('```json\n{"sentences": []}\n```', "- /: Invalid JSON"),
    ],
    ids=["missing", "extra", "other", "number", "cut", "fenced"],
)
def test_wrong_answer_is_repaired_once(server: FakeOllama, make: Make, wrong: str, told: str) -> None:
    server.answer_with(wrong, RIGHT)
    texts: list[str] = []
    answer = ask(make(), texts=texts)
    assert answer.is_repaired
    assert answer.value == Summary.model_validate_json(RIGHT)
    assert texts[-1] == RIGHT
    first, second = server.chats
    assert second["messages"][:2] == first["messages"]
    assert second["messages"][2] == {"role": "assistant", "content": wrong}
    assert told in second["messages"][3]["content"]
    assert {name: value for name, value in second.items() if name != "messages"} == {
        name: value for name, value in first.items() if name != "messages"
    }
    assert answer.answer_tokens == -(-len(wrong) // 4) + -(-len(RIGHT) // 4)


def test_empty_answer_is_asked_for_again(server: FakeOllama, make: Make) -> None:
    server.answer_with("", RIGHT)
    assert ask(make()).is_repaired
    assert [message["role"] for message in server.chats[1]["messages"]] == ["system", "user", "user"]


def test_second_wrong_answer_is_the_last(server: FakeOllama, make: Make) -> None:
    server.answer_with('{"sentences": "Maria tem asma"}')
    with pytest.raises(AnswerInvalid) as refused:
        ask(make())
    assert len(server.chats) == 2
    assert "Maria" not in str(refused.value)


def test_wrong_answer_without_room_is_repaired_without_being_repeated(server: FakeOllama, make: Make) -> None:
    wrong = json.dumps({"sentences": "x" * 1500})
    server.answer_with(wrong, RIGHT)
    room = prompt_room(1200, 500)
    answer = ask(
        make(ai_context_tokens=1200, ai_answer_tokens=500),
        Prompt("s" * 100, "c" * (room - 600), Summary, "summary/1"),
    )
    assert answer.is_repaired
    assert [message["role"] for message in server.chats[1]["messages"]] == ["system", "user", "user"]
    assert wrong.encode() not in server.every_byte


def test_answer_that_reaches_its_limit_is_cut(server: FakeOllama, make: Make) -> None:
    server.answer_with('{"sentences": [' + " " * 4000)
    with pytest.raises(AnswerTooLong, match="100 tokens"):
        ask(make(ai_answer_tokens=100))
    assert len(server.chats) == 1


def test_answer_that_never_ends_is_cut(server: FakeOllama, make: Make) -> None:
    server.misbehave(Trouble(endless=True))
    began = time.monotonic()
    with pytest.raises(AnswerTooLong, match="was cut"):
        ask(make(ai_answer_tokens=100))
    assert time.monotonic() - began < 5
    assert server.hung_up.wait(5)


def test_prompt_that_does_not_fit_is_never_sent(server: FakeOllama, make: Make) -> None:
    with pytest.raises(PromptTooLong, match="AI_CONTEXT_TOKENS"):
        ask(make(ai_context_tokens=1024, ai_answer_tokens=500), Prompt("r", "x" * 2000, Summary, "summary/1"))
    assert server.chats == []
    assert b"xxxx" not in server.every_byte


# -- cancelled -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble", [Trouble(silent=True), Trouble(between=0.05), Trouble(hangs_after=3)], ids=["before", "within", "hangs"]
)
def test_cancelling_closes_the_connection_at_once(server: FakeOllama, make: Make, trouble: Trouble) -> None:
    server.misbehave(trouble)
    cancelled = threading.Event()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            make().answer(PROMPT, on_text=lambda _: None, is_cancelled=cancelled.is_set)
        except AnswerCancelled as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: bool(server.chats))
    began = time.monotonic()
    cancelled.set()
    assert server.hung_up.wait(2)
    thread.join(2)
    assert time.monotonic() - began < 1
    assert len(ended) == 1


def test_what_a_listener_raises_stops_the_model_and_goes_up(server: FakeOllama, make: Make) -> None:
    server.misbehave(Trouble(between=0.05))

    def fail(_: str) -> None:
        raise ValueError("the row is gone")

    with pytest.raises(ValueError, match="the row is gone"):
        make().answer(PROMPT, on_text=fail, is_cancelled=lambda: False)
    assert server.hung_up.wait(5)


# -- one at a time -------------------------------------------------------------------------------------------


def test_second_process_is_told_to_wait_or_waits(server: FakeOllama, make: Make) -> None:
    server.misbehave(Trouble(before_first=0.5))
    first = threading.Thread(target=ask, args=[make()])
    first.start()
    while not server.chats:
        assert first.is_alive()
        time.sleep(0.01)
    with pytest.raises(ModelBusy) as busy:
        ask(make())
    assert busy.value.is_passing
    assert len(server.chats) == 1
    assert ask(make(patience=5.0)).value
    first.join()
    assert server.most_at_once == 1


def test_as_many_answers_at_a_time_as_there_are_cards(server: FakeOllama, make: Make) -> None:
    server.misbehave(*[Trouble(before_first=0.5)] * 2)
    threads = [threading.Thread(target=ask, args=[make(ai_parallel=2)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    while server.most_at_once < 2:
        assert any(thread.is_alive() for thread in threads)
        time.sleep(0.01)
    with pytest.raises(ModelBusy):
        ask(make(ai_parallel=2))
    for thread in threads:
        thread.join()


# -- which model ---------------------------------------------------------------------------------------------


def test_missing_model_says_the_command_that_brings_it(server: FakeOllama, make: Make) -> None:
    with pytest.raises(ModelMissing, match=r"sigilo ai pull mistral:7b") as missing:
        ask(make(ai_model="mistral:7b"))
    assert not missing.value.is_passing
    assert server.chats == []


def test_model_that_vanishes_in_between_is_missing_too(server: FakeOllama, make: Make) -> None:
    server.misbehave(Trouble(status=(404, f"model '{DEFAULT_MODEL}' not found")))
    with pytest.raises(ModelMissing):
        ask(make())


def test_model_that_runs_elsewhere_is_never_sent_anything(server: FakeOllama, make: Make) -> None:
    """Ollama lists models of its cloud among the local ones, under any name one likes."""
    server.have("mine:latest", remote_host="https://ollama.com:443")
    with pytest.raises(ModelMissing):
        ask(make(ai_model="mine"))
    assert PROMPT.content.encode() not in server.every_byte


def test_name_without_a_tag_is_the_latest(server: FakeOllama, make: Make) -> None:
    server.have("mistral:latest")
    assert ask(make(ai_model="mistral")).info.name == "mistral:latest"


def test_without_an_address_there_is_no_model(settings: Settings) -> None:
    assert make_language_model(settings) is None


def test_model_of_the_settings_answers(server: FakeOllama, settings: Settings) -> None:
    model = make_language_model(settings.model_copy(update={"ollama_url": server.url}))
    assert model is not None
    assert model.info().digest == server.models[DEFAULT_MODEL].digest
    assert model.answer(PROMPT, on_text=lambda _: None, is_cancelled=lambda: False).value
