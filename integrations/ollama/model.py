"""A model of an Ollama server as a use wants it: one prompt, one answer that fits the schema.

What is asked twice is asked at temperature 0 with a fixed seed, so that the same record gives the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing

import ollama
from pydantic import BaseModel, ValidationError

from config import Settings
from integrations.language_model import (
    Answer,
    AnswerInvalid,
    AnswerTooLong,
    ModelInfo,
    Prompt,
    PromptTooLong,
    prompt_room,
)
from integrations.ollama.breaker import Breaker
from integrations.ollama.server import OllamaServer
from integrations.ollama.slots import Slots
from integrations.ollama.watch import Watch
from observability.tracing import child_span

ENGINE = "OLLAMA"
SEED = 2454  # any number will do, as long as it stays
TEXT_SECONDS = 0.2  # between two looks at the text so far
CHARACTERS_PER_TOKEN = 16  # at most: no tokenizer has longer words, so a longer answer is none
MOST_ERRORS = 8  # of an answer that does not fit, told to the model
REPAIR = (
    "A resposta anterior não segue o esquema JSON pedido. Erros:\n{errors}\n"
    "Responda de novo, do começo, somente com o objeto JSON corrigido."
)


class OllamaModel:
    """The model ``name`` of ``server``. ``patience``: seconds to wait for a free slot before ModelBusy;
    ``gives_way``: whoever else waits for one goes first."""

    def __init__(
        self, server: OllamaServer, settings: Settings, *, breaker: Breaker, slots: Slots, patience: float = 0.0,
        name: str | None = None, gives_way: bool = False,
    ) -> None:  # fmt: skip
        self._server = server
        self._settings = settings
        self._name = name or settings.ai_model
        self._breaker = breaker
        self._slots = slots
        self._patience = patience
        self._gives_way = gives_way
        self._contexts: dict[str, int] = {}  # by digest: how many tokens are used of what the model was made for

    def info(self) -> ModelInfo:
        """As LanguageModel has it."""
        with self._breaker.guard():
            return self._info(self._settings.ai_answer_tokens)

    def answer(self, prompt: Prompt, *, on_text: Callable[[str], None], is_cancelled: Callable[[], bool]) -> Answer:
        """As LanguageModel has it."""
        if self._gives_way:
            self._slots.give_way()
        with self._slots.take(self._patience, is_cancelled, is_pressed=not self._gives_way), self._breaker.guard():
            info = self._info(min(prompt.answer_tokens, self._settings.ai_answer_tokens))
            watch = Watch(self._server.limits, is_cancelled=is_cancelled)
            keep_alive = self._settings.ai_keep_alive
            return _Conversation(self._server, info, prompt, watch, on_text, _seconds_or_text(keep_alive)).answer()

    def _info(self, answer_tokens: int) -> ModelInfo:
        model = self._server.model(self._name)
        if model.digest not in self._contexts:
            most = self._settings.ai_context_tokens
            self._contexts[model.digest] = min(most, self._server.context_length(model.name) or most)
        context = self._contexts[model.digest]
        parameters = {"temperature": 0, "seed": SEED, "num_ctx": context, "num_predict": answer_tokens}
        return ModelInfo(ENGINE, model.name, model.digest or None, parameters)


class _Conversation:
    """One prompt, and at most one repair, under one watch."""

    def __init__(
        self, server: OllamaServer, info: ModelInfo, prompt: Prompt, watch: Watch, on_text: Callable[[str], None],
        keep_alive: float | str,
    ) -> None:  # fmt: skip
        self._server = server
        self._info = info
        self._prompt = prompt
        self._watch = watch
        self._on_text = on_text
        self._keep_alive = keep_alive
        self._schema = prompt.schema.model_json_schema()
        self._first_text: float | None = None
        self._ends: list[ollama.ChatResponse] = []  # of each answer its last part, which counts the tokens

    def answer(self) -> Answer:
        messages = [_message("system", self._prompt.system), _message("user", self._prompt.content)]
        if (length := _length(messages)) > self._room:
            raise PromptTooLong(f"the prompt has {length} characters, {self._room} fit: raise AI_CONTEXT_TOKENS")
        text = self._ask(messages)
        value, errors = self._read(text)
        if value is None:
            self._watch.again()
            value, errors = self._read(self._ask(self._repair(messages, text, errors)))
        if value is None:
            raise AnswerInvalid("the model's answer does not fit the schema, twice: set AI_MODEL to a larger one")
        return Answer(
            value=value, info=self._info, prompt_tokens=_sum(end.prompt_eval_count for end in self._ends),
            answer_tokens=_sum(end.eval_count for end in self._ends), seconds=self._watch.seconds,
            first_text_seconds=self._first_text, is_repaired=len(self._ends) > 1,
        )  # fmt: skip

    @property
    def _room(self) -> int:
        return prompt_room(self._info.parameters["num_ctx"], self._info.parameters["num_predict"])

    def _ask(self, messages: list[dict[str, str]]) -> str:
        """The whole text of one answer."""
        most = self._info.parameters["num_predict"] * CHARACTERS_PER_TOKEN
        pieces: list[str] = []
        size, shown_at = 0, -TEXT_SECONDS
        parts = self._server.chat(
            self._info.name, messages, schema=self._schema, options=dict(self._info.parameters),
            keep_alive=self._keep_alive, watch=self._watch,
        )  # fmt: skip
        about = {
            "gen_ai.provider.name": "ollama", "gen_ai.operation.name": "chat", "gen_ai.request.model": self._info.name,
        }  # fmt: skip
        with child_span(f"chat {self._info.name}", about), closing(parts):
            for part in parts:
                if piece := part.message.content or "":
                    self._watch.progress()
                    if self._first_text is None:
                        self._first_text = self._watch.seconds
                    size += len(piece)
                    if size > most:
                        raise AnswerTooLong(f"the answer went on after {most} characters and was cut")
                    pieces.append(piece)
                    if self._watch.seconds - shown_at >= TEXT_SECONDS:
                        shown_at = self._watch.seconds
                        self._on_text("".join(pieces))
                if part.done:
                    self._ends.append(part)
        if self._ends[-1].done_reason == "length":
            limit = self._info.parameters["num_predict"]
            raise AnswerTooLong(f"the answer did not end within {limit} tokens and was cut: raise AI_ANSWER_TOKENS")
        text = "".join(pieces)
        self._on_text(text)
        return text

    def _read(self, text: str) -> tuple[BaseModel | None, str]:
        """What ``text`` says, or why it does not fit: where, and what should be there; never what was."""
        try:
            return self._prompt.schema.model_validate_json(text, strict=True), ""
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)[:MOST_ERRORS]
        return None, "\n".join(f"- /{'/'.join(map(str, each['loc']))}: {each['msg']}" for each in found)

    def _repair(self, messages: list[dict[str, str]], text: str, errors: str) -> list[dict[str, str]]:
        """The same question with what was wrong, and the answer that it is about where there is room for it."""
        told = _message("user", REPAIR.format(errors=errors))
        with_answer = [*messages, _message("assistant", text), told]
        return with_answer if text and _length(with_answer) <= self._room else [*messages, told]


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _length(messages: list[dict[str, str]]) -> int:
    return sum(len(message["content"]) for message in messages)


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _seconds_or_text(keep_alive: str) -> float | str:
    """Ollama takes a number of seconds, or a text with units."""
    return int(keep_alive) if keep_alive.lstrip("-").isdigit() else keep_alive
