"""The card of a suggestion inside a form: the question that the form asked, and what its buttons do.

Nothing of the form changes by an answer. What is taken over is put into the form's own field, by a script or by the
form sent and shown again, and ``helpedBy`` names the question until the form is saved.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import request
from sqlalchemy.orm import Session

from services.ai_cancel import cancel_request
from services.ai_get import Asked, Shown, show_request
from services.ai_refusal import standing_refusal
from services.ai_request import Asked as NewQuestion
from services.ai_verdict import reject
from services.errors import Conflict, Invalid, NotFound, QuotaExceeded
from web.authentication import current_actor
from web.csrf import FIELD
from web.database import unit_of_work
from web.forms.reading import BETWEEN, Form
from web.forms.sentences import said
from web.htmx import is_htmx
from web.runtime import runtime

CODES, PRIORITY = "CID10", "PRIORITY"
ACT = "act"
HELPED_BY_MAX = 20  # each is looked up and locked when the form is saved, and gets a line in the chart
# Use → the element that its card is, and the template that fills it.
CARDS = {CODES: ("code-suggestions", "ai/_codes.html"), PRIORITY: ("priority-suggestion", "ai/_priority.html")}


@dataclass(frozen=True, slots=True)
class AiCard:
    """``is_stale``: the form, or what the answer rests on, says something else by now than what was asked about."""

    shown: Shown | None
    refusal: dict[str, Any] | None
    problem: str | None
    is_stale: bool
    has_model: bool
    has_script: bool  # a script asks: what htmx puts into a page has no use for buttons for those without one

    @property
    def hidden(self) -> str | None:
        """Why the answer may not be seen any more, in the reader's language."""
        return said(self.shown.hidden) if self.shown is not None and self.shown.hidden else None

    @property
    def at_work(self) -> bool:
        return self.shown is not None and self.shown.hidden is None and self.shown.state in ("WAITING", "RUNNING")

    @property
    def is_open(self) -> bool:
        """There is an answer to make something of."""
        ai = self.shown
        return ai is not None and not ai.hidden and ai.state == "DONE" and ai.verdict is None and ai.answer is not None


def ai_card(
    use: str, question_id: uuid.UUID | None, patient_id: uuid.UUID | None, *, now: Asked | None = None,
    problem: str | None = None,
) -> AiCard:  # fmt: skip
    """The card for a question that a form names; of none where it is no such question of this person's. ``now``: what
    the form says at this moment, None where that is not known."""
    here, actor = runtime(), current_actor()
    with unit_of_work() as session:
        refusal = None if patient_id is None else standing_refusal(session, patient_id)
        shown = None
        if question_id is not None:
            try:
                shown = show_request(session, actor, here.cipher, question_id)
            except NotFound:  # a form may name anything
                shown = None
    if shown is not None and (shown.use != use or patient_id not in (None, shown.patient_id)):
        shown = None
    is_stale = False
    if shown is not None and shown.asked is not None and now is not None:
        is_stale = _plain(shown.asked) != _plain(now)
    return AiCard(
        shown, refusal, problem, is_stale or (shown is not None and shown.is_stale), bool(here.settings.ollama_url),
        is_htmx(),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pressed:
    """What pressing a button of the card came to. ``taken``: what is to be put into the form."""

    question_id: uuid.UUID | None
    taken: str | None = None
    problem: str | None = None
    status: int = 200


def press(question_id: uuid.UUID | None, ask: Callable[[Session], NewQuestion]) -> Pressed:
    """Do what the pressed button says: ``ask``, ``cancel``, ``reject``, ``take X``; anything else only looks again.
    Raises Forbidden, NotFound, Gone."""
    act, _, value = request.form.get(ACT, "").partition(" ")
    asked: NewQuestion | None = None
    try:
        with unit_of_work() as session:
            if act == "ask":
                asked = ask(session)
            elif act == "cancel" and question_id is not None:
                cancel_request(session, current_actor(), question_id)
            elif act == "reject" and question_id is not None:
                reject(session, current_actor(), question_id)
    except QuotaExceeded as error:
        return Pressed(question_id, problem=said(error.detail), status=429)
    except Conflict as error:
        return Pressed(question_id, problem=said(error.detail), status=409)
    except Invalid as error:
        text = error.errors[0].message if error.errors else error.detail
        return Pressed(question_id, problem=said(text), status=422)
    if asked is not None:
        if asked.is_new:
            runtime().wakeup.inference()
        return Pressed(asked.id)
    return Pressed(question_id, taken=value if act == "take" and value else None)


def typed_form() -> Form[Any]:
    """The request's form as it was typed, right or wrong: nothing of it is saved yet."""
    values = {name: text.replace("\0", "") for name, text in request.form.items() if name not in (FIELD, ACT)}
    return Form(values=values)


def name_help(form: Form[Any], question_id: uuid.UUID) -> None:
    """Have the form say that something was taken from this answer."""
    form.values["helpedBy"] = f"{form.values.get('helpedBy', '')} {question_id}"
    form.values["helpedBy"] = " ".join(map(str, helped_by(form)))


def helped_by(form: Form[Any]) -> list[uuid.UUID]:
    """The questions that a form names as having helped it, each once, and of too many those that it named last."""
    given = [id_or_none(text) for text in BETWEEN.split(form.values.get("helpedBy", ""))]
    last_first = dict.fromkeys(each for each in reversed(given) if each is not None)
    return list(last_first)[:HELPED_BY_MAX][::-1]


def id_or_none(given: str | None) -> uuid.UUID | None:
    """What a form sent as an id may be anything; the field says so, the page is shown all the same."""
    try:
        return uuid.UUID(given) if given else None
    except ValueError:
        return None


def _plain(asked: Asked) -> tuple[list[str], dict[str, str]]:
    """Spaces and line ends are no other text."""
    return asked.text.split(), dict(asked.vital_signs)
