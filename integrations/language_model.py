"""What a use needs of a language model, and nothing of who runs it.

A use hands over a ``Prompt`` without identifiers and gets an ``Answer`` of the shape that it asked for, with where it
came from; or one of the errors here. They hold no word of prompt or answer, so they may stand in logs and rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

# Portuguese takes more; numbers, codes and JSON's signs take less than words do, and a prompt is full of them.
CHARACTERS_PER_TOKEN = 2.5


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to a model."""

    system: str  # the rules of the use
    content: str  # the data, as JSON text; never instructions
    schema: type[BaseModel]  # what the answer must be (pydantic, extra="forbid")
    version: str  # of the wording, e.g. "summary/1"
    answer_tokens: int = 800  # at most; AI_ANSWER_TOKENS where that is less


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model it is, exactly: what provenance keeps."""

    engine: str  # "OLLAMA" | "RULES"
    name: str  # "llama3.2:3b", or "rules/1"
    digest: str | None  # SHA-256 of the model in hexadecimal, without a prefix
    parameters: Mapping[str, Any]  # temperature, seed, num_ctx …


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, validated, and what it took."""

    value: BaseModel  # an instance of Prompt.schema
    info: ModelInfo
    prompt_tokens: int | None
    answer_tokens: int | None
    seconds: float
    first_text_seconds: float | None  # from the question to the first text, the model's loading included
    is_repaired: bool  # the first answer did not fit the schema, the second did


class LanguageModel(Protocol):
    """Something that answers prompts, one at a time."""

    def info(self) -> ModelInfo:
        """Which model would answer now. Raises ModelMissing and ModelUnavailable."""
        ...

    def answer(self, prompt: Prompt, *, on_text: Callable[[str], None], is_cancelled: Callable[[], bool]) -> Answer:
        """The answer to ``prompt``, within the model's time and size limits.

        ``on_text`` gets the raw text so far (whole, growing), at most every 0.2 s, and once more when it is complete;
        a repaired answer begins anew. ``is_cancelled`` is asked between two parts of the answer and while none comes;
        what it says ends the work within a second.
        Raises the errors below; whatever ``on_text`` or ``is_cancelled`` raises ends the work too and goes on up.
        """
        ...


class LanguageModelError(Exception):
    """No answer. The text says what to do and quotes nothing of prompt or answer; ``code`` is for rows and counters."""

    code: ClassVar[str]
    is_passing: ClassVar[bool] = False  # the same prompt may well be answered a while later: the queue holds it


class ModelUnavailable(LanguageModelError):
    """Nobody answers, or it broke off, took too long, or failed."""

    code = "UNAVAILABLE"
    is_passing = True


class ModelBusy(LanguageModelError):
    """It is at work for others, or its memory is full; ``retry_after`` in seconds."""

    code = "BUSY"
    is_passing = True

    def __init__(self, text: str, retry_after: float = 5.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class ModelTaken(ModelBusy):
    """Another question of ours is being answered: the model is well, and this one's turn comes."""

    code = "TAKEN"


class ModelMissing(LanguageModelError):
    """The model is not there; the text names the command that brings it."""

    code = "MISSING"


class PromptTooLong(LanguageModelError):
    """The prompt and the longest answer don't fit into the model's context: it would forget the beginning."""

    code = "PROMPT_TOO_LONG"


class AnswerInvalid(LanguageModelError):
    """The answer does not fit the schema, and neither did the second one."""

    code = "ANSWER_INVALID"


class AnswerTooLong(AnswerInvalid):
    """The answer did not end within its limit of tokens or characters, and was cut."""

    code = "ANSWER_TOO_LONG"


class AnswerCancelled(LanguageModelError):
    """Somebody asked for it to stop."""

    code = "CANCELLED"


def prompt_room(context_tokens: int, answer_tokens: int) -> int:
    """How many characters a prompt may have, rules and data together, so that an answer of ``answer_tokens`` fits
    behind it into a context of ``context_tokens``. An estimate on the safe side: tokens are the model's own."""
    return max(0, int((context_tokens - answer_tokens) * CHARACTERS_PER_TOKEN))
