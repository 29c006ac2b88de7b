"""A question as its row keeps it: what an answer may rest on, what leaves for the model, what pseudonyms stand for."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import orjson
from pydantic import BaseModel

from integrations.language_model import Prompt
from services.ai_prompts import cid10, priority, summary
from services.ai_prompts.checked import Checked
from services.ai_prompts.inputs import Inputs, from_json, prepared, to_json
from services.field_encryption import FieldCipher
from services.pseudonym_tokens import Token, tokens_in
from services.pseudonyms import Pseudonyms


@dataclass(frozen=True, slots=True)
class Use:
    """One of the three, as ``services.ai_prompts`` has them."""

    schema: type[BaseModel]
    build: Callable[[Inputs, Pseudonyms], Prompt]
    check: Callable[[Inputs, BaseModel], Checked]
    by_rules: Callable[[Inputs], BaseModel]


USES = {
    "SUMMARY": Use(summary.Summary, summary.build, summary.check, summary.by_rules),
    "CID10": Use(cid10.Suggestions, cid10.build, cid10.check, cid10.by_rules),
    "PRIORITY": Use(priority.Priority, priority.build, priority.check, priority.by_rules),
}


@dataclass(frozen=True)
class Question:
    """``inputs`` as a model reads them (prepared) and ``prompt`` hold no identifier; ``pseudonyms`` holds them all, and
    never leaves."""

    inputs: Inputs
    pseudonyms: Pseudonyms
    prompt: Prompt

    @cached_property
    def told(self) -> frozenset[Token]:
        """The pseudonyms that the model was sent."""
        return tokens_in(self.prompt.content)

    def put_back(self, text: str) -> str:
        """``text`` with what its pseudonyms stand for, of those that were sent: they come of what the asker saw. The
        table has the patient's documents besides, so that they are found wherever they stand, whoever asks."""
        return self.pseudonyms.put_back(text, self.told)


def make_question(inputs: Inputs, pseudonyms: Pseudonyms) -> Question:
    """Of inputs as the asker sees them."""
    prompt = USES[inputs.use].build(inputs, pseudonyms)
    return Question(prepared(inputs, pseudonyms), pseudonyms, prompt)


def seal_question(cipher: FieldCipher, row_id: uuid.UUID, question: Question) -> bytes:
    """Encrypted, bound to its row."""
    prompt = question.prompt
    content = {
        "inputs": to_json(question.inputs).decode(),
        "pseudonyms": base64.b64encode(question.pseudonyms.packed()).decode(),
        "prompt": {
            "system": prompt.system, "content": prompt.content, "version": prompt.version,
            "answer_tokens": prompt.answer_tokens,
        },
    }  # fmt: skip
    return cipher.encrypt_bytes(orjson.dumps(content), row_id)


def open_question(cipher: FieldCipher, row_id: uuid.UUID, sealed: bytes) -> Question:
    """Raises ValueError when it was changed, or its key is gone."""
    content = orjson.loads(cipher.decrypt_bytes(sealed, row_id))
    inputs = from_json(content["inputs"].encode())
    pseudonyms = Pseudonyms.unpack(base64.b64decode(content["pseudonyms"]))
    return Question(inputs, pseudonyms, Prompt(schema=USES[inputs.use].schema, **content["prompt"]))
