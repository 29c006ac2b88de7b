"""Delete what has outlived its use. How long each kind of row is kept is stated here and nowhere else.

Never records, versions or the trail: those follow the law on retention. Rows go in batches, each in a short
transaction of its own, so that no lock is held above a tenth of a second, by construction: what is to go is looked for
before anything is locked, the server ends a DELETE that is not done in time, and nothing waits for a disk to commit it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import psycopg
from sqlalchemy import CursorResult, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models.import_job import PARTS_AT_ONCE
from services.ai_refusal import refused_since

BATCH = 500
# What is left of a lock's 100 ms is for noticing, and for the way to the server and back.
DELETE_MS = 80


class TooSlow(Exception):
    """The batch was not deleted in time, so nothing of it was: a smaller one may be."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of ``table`` go when they meet ``condition``: SQL over their alias t and ``:keep``. At most ``batch``
    in one transaction. ``forgets``: columns that are emptied, where the row itself stays."""

    table: str
    condition: str
    keep: timedelta
    batch: int = BATCH
    forgets: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of one table there may be a rule for rows and one for what is in them."""
        return f"{self.table}.texts" if self.forgets else self.table

    @property
    def due(self) -> str:
        """SQL: the rows that it has something to do with."""
        return f"({self.condition}) AND num_nonnulls({_listed(self.forgets)}) > 0" if self.forgets else self.condition

    @property
    def act(self) -> str:
        """SQL, up to its WHERE."""
        if not self.forgets:
            return f"DELETE FROM {self.table} t"
        return f"UPDATE {self.table} t SET {', '.join(f'{column} = NULL' for column in self.forgets)}"


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(f"t.{column}" for column in columns)


DAY = timedelta(days=1)
NOW = timedelta()
ENDED_JOB = """
    EXISTS (SELECT FROM import_jobs j WHERE j.id = t.job_id AND j.finished_at < now() - :keep)
"""
ORPHANED_PART = """
    NOT EXISTS (SELECT FROM import_files f WHERE f.job_id = t.job_id AND f.number = t.number)
"""

# In this order: a job goes after the files and rejects that refer to it.
RULES = (
    # An ended session answers "who was signed in" for a week; the trail answers it for good.
    Rule("sessions", "least(t.ended_at, t.expires_at) < now() - :keep", 7 * DAY),
    Rule("login_failures", "greatest(t.locked_until, t.window_started_at) < now() - :keep", DAY),
    Rule("idempotency_keys", "t.expires_at < now() - :keep", NOW),
    Rule("drafts", "t.expires_at < now() - :keep", NOW),
    # A patient's refusal takes effect at once; what they may not touch themselves is emptied here. What a worker is at
    # goes when it has noticed. What waits without a text is ended by the worker that takes it.
    Rule(
        "ai_requests",
        f"t.state <> 'RUNNING' AND (t.expires_at < now() - :keep OR {refused_since('t')})",
        NOW,
        batch=50,  # of a few dozen kilobytes each
        forgets=("question_cipher", "partial_cipher", "answer_cipher"),
    ),
    # What an accepted answer was made with stays, and says nothing of what was said.
    Rule("ai_requests", "t.verdict IS NULL AND t.expires_at < now() - :keep", 30 * DAY),
    Rule("rate_limit_log", "t.occurred_at < now() - :keep", 30 * DAY),
    # What became of a link stands in the trail; the page about a user shows the newest for a month.
    Rule(
        "password_links",
        "least(t.used_at, t.withdrawn_at, t.failed_at, t.expires_at) < now() - :keep",
        30 * DAY,
    ),
    # Counted by the hour; a day more, for whoever looks into an alert.
    Rule("identifier_lookups", "t.occurred_at < now() - :keep", 2 * DAY),
    # What was imported stands in records; the file itself is one copy of patient data too many. First it is gone for
    # everybody, so that nobody tries an import again with half of it, and then its parts go: two megabytes a batch.
    Rule("import_files", ENDED_JOB, 7 * DAY),
    Rule("import_file_parts", ORPHANED_PART, NOW, batch=PARTS_AT_ONCE),
    Rule("import_rejects", ENDED_JOB, 90 * DAY),
    Rule(
        "import_jobs",
        "t.finished_at < now() - :keep"
        " AND NOT EXISTS (SELECT FROM import_files f WHERE f.job_id = t.id)"
        " AND NOT EXISTS (SELECT FROM import_file_parts p WHERE p.job_id = t.id)"
        " AND NOT EXISTS (SELECT FROM import_rejects r WHERE r.job_id = t.id)",
        90 * DAY,
        batch=50,  # of each, three other tables are asked whether they refer to it
    ),
    # What is open stays until it succeeds or somebody dismisses it.
    Rule("dead_letters", "t.resolved_at < now() - :keep", 90 * DAY),
    Rule("job_runs", "t.started_at < now() - :keep", 90 * DAY),
)


def delete_batch(session: Session, rule: Rule, most: int | None = None) -> int:
    """Delete the next rows that ``rule`` no longer keeps, ``most`` at once (by default its batch), as the worker; gives
    how many. Nothing else belongs into the transaction: it may be forgotten if the server crashes, for the next run
    finds the rows again.

    The condition is looked at again when a row is deleted, in case somebody changed it meanwhile, or the place is
    another row's by now. Raises TooSlow; then the transaction is to be rolled back.
    """
    found = session.execute(
        text(f"SELECT t.ctid::text FROM {rule.table} t WHERE {rule.due} LIMIT :limit"),
        {"keep": rule.keep, "limit": most or rule.batch},
    )
    places = list(found.scalars())
    if not places:
        return 0
    session.execute(text(f"SET LOCAL synchronous_commit = off; SET LOCAL statement_timeout = {DELETE_MS}"))
    try:
        result = session.execute(
            text(f"{rule.act} WHERE t.ctid = ANY (CAST(:places AS tid[])) AND {rule.due}"),
            {"keep": rule.keep, "places": places},
        )
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise TooSlow from None
        raise
    assert isinstance(result, CursorResult)  # noqa: S101  (these give no other)
    return int(result.rowcount)
