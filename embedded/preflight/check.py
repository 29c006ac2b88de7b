"""What a check is, and how its end is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import httpx
import psycopg
from sqlalchemy.exc import DBAPIError

from config import ConfigurationError
from embedded.errors import EmbeddedError, TroubleError
from embedded.load_baseline import LoadResultError
from embedded.smoke import SmokeError
from services.errors import ServiceError

if TYPE_CHECKING:
    from embedded.preflight.ground import Ground


class Phase(StrEnum):
    """When a check belongs to a deployment. ``AFTER`` is an hour later."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class State(StrEnum):
    PASS = "PASS"  # noqa: S105  (no password)
    FAIL = "FAIL"
    NOT_HERE = "NOT HERE"  # can't be seen from here; the text says what it takes


class FailedError(Exception):
    """What was found wrong, and what to do."""


class NotHereError(Exception):
    """Why this can't be checked here, and what it takes to."""


# Whose text says what to do.
SAID = (
    FailedError, SmokeError, TroubleError, LoadResultError, ConfigurationError, EmbeddedError, ServiceError
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """``row``: of the original analysis (the README's table); ``text``: the evidence, and what to do."""

    phase: Phase
    row: int
    name: str
    state: State
    text: str

    def shown(self) -> dict[str, object]:
        return {
            "phase": self.phase.value, "row": self.row, "name": self.name, "state": self.state.value, "text": self.text,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """``look`` gives the evidence. Raises FailedError, NotHereError, or what the things it asks raise."""

    phase: Phase
    row: int
    name: str
    look: Callable[[Ground], str]

    def run(self, ground: Ground) -> Outcome:
        """The outcome, whatever happens: one check that can't be made hides none of the others."""
        try:
            state, text = State.PASS, self.look(ground)
        except NotHereError as reason:
            state, text = State.NOT_HERE, str(reason)
        except SAID as error:
            state, text = State.FAIL, str(error)
        except (psycopg.Error, DBAPIError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            state, text = State.FAIL, f"the database says: {(str(cause).strip().splitlines() or ['nothing'])[0]}"
        except (httpx.HTTPError, OSError) as error:
            state, text = State.FAIL, f"no whole answer from {ground.url} ({type(error).__name__})"
        except (ValueError, KeyError, TypeError):
            state, text = State.FAIL, "something else than Sigilo answers: is the address right?"
        return Outcome(self.phase, self.row, self.name, state, text)
