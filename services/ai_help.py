"""Which answers a form was filled with: said in the chart, and settled, by whoever saves it.

A form names the questions from whose answers something was taken. What is saved decides what became of them: it has
what was suggested (accepted), something else in its place (edited), or nothing of it, and then no answer helped.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from models import AiRequest, Visit
from models.record import CLINICAL_TEXT_MAX
from services.actor import Actor
from services.ai_verdict import chart_note, helped_by, opened_if_kept, settle_used
from services.errors import Invalid
from services.field_encryption import FieldCipher

CATEGORY = 3  # letters of a code that name its category: E11 of E11.9


@dataclass(frozen=True, slots=True)
class Help:
    """Each answer that helped, and whether what is saved differs from it. None: there was none."""

    used: tuple[tuple[AiRequest, bool], ...] = ()

    def noted(self, notes: str | None) -> str | None:
        """``notes`` with a line of the chart for each (CFM resolution 2.454/2026). Raises Invalid when there is no
        room for it."""
        if not self.used:
            return notes
        text = "\n\n".join(part for part in (notes, *(chart_note(row) for row, _ in self.used)) if part)
        if len(text) > CLINICAL_TEXT_MAX:
            raise Invalid.at("/notes", "shorten it a little: the record also has to say that AI helped")
        return text

    def settle(self, session: Session, actor: Actor, led_to: uuid.UUID) -> None:
        """``led_to``: the record that was written with it."""
        for row, was_changed in self.used:
            settle_used(session, actor, row, led_to, was_changed=was_changed)


NO_HELP = Help()


def help_with_codes(
    session: Session, actor: Actor, cipher: FieldCipher, patient_id: uuid.UUID, request_ids: Iterable[uuid.UUID],
    codes: Sequence[str],
) -> Help:  # fmt: skip
    """``codes``: what is saved. A code of a suggested one's category is a suggestion that was edited."""

    def was_changed(answer: dict[str, Any]) -> bool | None:
        suggested = {each["code"] for each in answer["suggestions"]}
        if suggested & set(codes):
            return False
        return True if {code[:CATEGORY] for code in suggested} & {code[:CATEGORY] for code in codes} else None

    return _help(session, actor, cipher, patient_id, request_ids, "CID10", was_changed)


def help_with_priority(
    session: Session, actor: Actor, cipher: FieldCipher, visit: Visit, request_ids: Iterable[uuid.UUID], priority: str
) -> Help:
    """``priority``: what is saved for this visit; an answer about another one did not help."""

    def was_changed(answer: dict[str, Any]) -> bool | None:
        return priority not in (answer["priority"], (answer.get("rules") or {}).get("priority"))

    found = _help(session, actor, cipher, visit.patient_id, request_ids, "PRIORITY", was_changed)
    return Help(tuple(each for each in found.used if each[0].visit_id == visit.id))


def _help(
    session: Session, actor: Actor, cipher: FieldCipher, patient_id: uuid.UUID, request_ids: Iterable[uuid.UUID],
    use: str, was_changed: Callable[[dict[str, Any]], bool | None],
) -> Help:  # fmt: skip
    used = []
    for row in helped_by(session, actor, patient_id, request_ids):
        if row.use != use:
            continue
        answer = opened_if_kept(cipher, row)
        # Of an answer whose texts are gone nobody can tell how much was changed.
        changed = True if answer is None else was_changed(answer)
        if changed is not None:
            used.append((row, changed))
    return Help(tuple(used))
