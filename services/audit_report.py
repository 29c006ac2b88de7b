"""What a verification of the trail found, in words that name the events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from services.audit_chain import GENESIS

Progress = Callable[[int, int | None], None]  # events done, of how many where that is known

MOST_NAMED = 1_000  # problems kept in words; more are counted


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at one event, or from ``sequence`` to ``last``.

    ``kind``: ``changed`` (the event does not match its hash), ``rehashed`` (its content is proven by the event
    after it, its stored hash was changed), ``unlinked`` (it does not follow from the event before as stored,
    which is itself not proven: its own content may be untouched), ``missing``, ``inserted`` (a second event
    of one number, or one before the first), ``moved`` (sealed earlier than the event before it),
    ``checkpoint`` (a signed statement that the trail contradicts, or that nobody known has signed), ``archive`` (what
    left the database is not what was signed), ``unanchored`` (nothing from outside could be compared), ``alarm``
    (that something was wrong was made unsaid).
    """

    kind: str
    sequence: int
    text: str
    last: int | None = None
    event_id: str | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class Report:
    """What a verification found. ``unanchored``: events after the newest good checkpoint held elsewhere (all,
    without one); ``proven``: how many events follow from the one before and their own content."""

    events: int = 0
    proven: int = 0
    head: int = 0
    head_hash: bytes = GENESIS
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    anchored: int | None = None  # sequence of the given checkpoint, when the trail agrees with it
    stored_checkpoints: int = 0
    remarks: list[str] = field(default_factory=list)
    archived: int = 0  # so many events came before those that were looked at, and lie in other files
    seconds: float = 0.0

    @property
    def is_intact(self) -> bool:
        return self.problem_count == 0

    @property
    def unanchored(self) -> int:
        return max(self.head - (self.anchored or 0), 0)

    def add(self, problem: Problem) -> None:
        self.problem_count += 1
        if len(self.problems) < MOST_NAMED:
            self.problems.append(problem)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems]
        if self.problem_count > len(self.problems):
            lines.append(f"… and {self.problem_count - len(self.problems)} more")
        lines += self.remarks
        if self.archived:
            lines.append(f"Events 1 to {self.archived} lie in archives.")
        if self.anchored is not None:
            but = "" if self.is_intact else ", but for what is named above"
            lines.append(f"The checkpoint holds: events 1 to {self.anchored} are what was signed{but}.")
        lines.append(
            f"{self.unanchored} events are not yet anchored by a checkpoint kept elsewhere"
            + ("." if self.unanchored else ": everything is.")
        )
        verdict = "intact" if self.is_intact else f"NOT INTACT, {self.problem_count} problems"
        rate = f"{self.events / self.seconds:,.0f}/s" if self.seconds else "-"
        lines.append(
            f"{self.events} events, {self.proven} proven, head {self.head} {self.head_hash.hex()}, {rate}: {verdict}"
        )
        return "\n".join(lines)


def missing(first: int, last: int, known: str = "by the events around them") -> Problem:
    what = f"Event {first} is" if first == last else f"Events {first} to {last} are"
    return Problem("missing", first, f"{what} missing: known {known}.", last=last)


def unsaid(sequence: int) -> Problem:
    text = f"That the trail was not intact (event {sequence}) was made unsaid in the database, and by no auditor."
    return Problem("alarm", sequence, text)


def unanchored() -> Problem:
    text = "No checkpoint could be read where they are kept: what was compared was compared with nothing from outside."
    return Problem("unanchored", 0, text)


def contradicted(what: str, sequence: int, agreed: int = 0) -> Problem:
    """``agreed``: up to which event an earlier checkpoint holds; what was changed lies behind it."""
    if agreed:
        text = f"{what} of event {sequence} has another hash: of events {agreed + 1} to {sequence} some were changed."
        return Problem("checkpoint", agreed + 1, text, last=sequence)
    text = f"{what} of event {sequence} has another hash: the trail up to there is not the one that was signed."
    return Problem("checkpoint", sequence, text)


_WORDS = {
    "changed": "does not match its hash: its content was changed, or the event before it was and got a new hash",
    "rehashed": "has a changed hash; its content is what it was",
    "unlinked": "does not follow from the event before it as that is stored; its own content may be what it was",
    "inserted": "was put in: its number belongs to another event",
    "moved": "was sealed earlier than the event before it",
}


def problem_at(kind: str, sequence: int, event_id: str | None) -> Problem:
    return Problem(kind, sequence, f"Event {sequence} ({event_id}) {_WORDS[kind]}.", event_id=event_id)
