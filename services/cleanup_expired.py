"""Delete what has outlived its use. How long each kind of row is kept is stated here and nowhere else.

Never records, versions or the trail: those follow the law on retention. Rows go in batches, each in a short
transaction of its own, so that no lock is held for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import CursorResult, text
from sqlalchemy.orm import Session

BATCH = 500


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of ``table`` go when they meet ``condition``: SQL over their alias t and ``:keep``. At most ``batch``
    in one transaction."""

    table: str
    condition: str
    keep: timedelta
    batch: int = BATCH


DAY = timedelta(days=1)
NOW = timedelta()
ENDED_JOB = """
    EXISTS (SELECT FROM import_jobs j WHERE j.id = t.job_id AND j.finished_at < now() - :keep)
"""

# In this order: a job goes after the files and rejects that refer to it.
RULES = (
    # An ended session answers "who was signed in" for a week; the trail answers it for good.
    Rule("sessions", "least(t.ended_at, t.expires_at) < now() - :keep", 7 * DAY),
    Rule("login_failures", "greatest(t.locked_until, t.window_started_at) < now() - :keep", DAY),
    Rule("idempotency_keys", "t.expires_at < now() - :keep", NOW),
    Rule("drafts", "t.expires_at < now() - :keep", NOW),
    Rule("rate_limit_log", "t.occurred_at < now() - :keep", 30 * DAY),
    # What became of a link stands in the trail; the page about a user shows the newest for a month.
    Rule(
        "password_links",
        "least(t.used_at, t.withdrawn_at, t.failed_at, t.expires_at) < now() - :keep",
        30 * DAY,
    ),
    # Counted by the hour; a day more, for whoever looks into an alert.
    Rule("identifier_lookups", "t.occurred_at < now() - :keep", 2 * DAY),
    # What was imported stands in records; the file itself is one copy of patient data too many.
    Rule("import_files", ENDED_JOB, 7 * DAY, batch=2),  # megabytes each
    Rule("import_rejects", ENDED_JOB, 90 * DAY),
    Rule(
        "import_jobs",
        "t.finished_at < now() - :keep"
        " AND NOT EXISTS (SELECT FROM import_files f WHERE f.job_id = t.id)"
        " AND NOT EXISTS (SELECT FROM import_rejects r WHERE r.job_id = t.id)",
        90 * DAY,
        batch=50,  # of each, two other tables are asked whether they refer to it
    ),
    # What is open stays until it succeeds or somebody dismisses it.
    Rule("dead_letters", "t.resolved_at < now() - :keep", 90 * DAY),
    Rule("job_runs", "t.started_at < now() - :keep", 90 * DAY),
)


def delete_batch(session: Session, rule: Rule) -> int:
    """Delete the next rows that ``rule`` no longer keeps, as the worker; gives how many.

    The condition is looked at again when a row is deleted, in case somebody changed it meanwhile.
    """
    result = session.execute(
        text(
            f"DELETE FROM {rule.table} t WHERE t.ctid = ANY (ARRAY("
            f"SELECT t.ctid FROM {rule.table} t WHERE {rule.condition} LIMIT :limit)) AND {rule.condition}"
        ),
        {"keep": rule.keep, "limit": rule.batch},
    )
    assert isinstance(result, CursorResult)  # noqa: S101  (a DELETE gives no other)
    return int(result.rowcount)
