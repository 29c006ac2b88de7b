"""How the installation stands, in the few facts that an administrator should read every now and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.audit_check_note import last_check
from services.backup_standing import STANDING, Standing, read_standing
from services.signed_note import VerifierKey

SILENT_SECONDS = 60
CHECK_LATE = timedelta(hours=26)  # as services/trail_state.py has it
# As the worker.
FACTS = text(
    """
    SELECT (SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL) AS failed,
        ARRAY(
            SELECT job FROM (SELECT DISTINCT ON (job) job, outcome FROM job_runs ORDER BY job, slot DESC) newest
            WHERE outcome = 'failure' ORDER BY job
        ) AS failed_jobs,
        (SELECT count(*) FROM break_glass_grants WHERE reviewed_at IS NULL) AS emergencies,
        (SELECT count(*) FROM access_alerts WHERE reviewed_at IS NULL) AS alerts,
        coalesce(extract(epoch FROM now() - (SELECT occurred_at FROM audit_outbox ORDER BY id LIMIT 1)), 0)::int AS lag
    """
)


@dataclass(frozen=True, slots=True)
class Facts:
    """``checked_at``: when the trail was last verified, with ``problems`` found; None and 0 where it never was."""

    failed: int
    failed_jobs: Sequence[str]
    emergencies: int
    alerts: int
    lag: int
    backups: Standing
    checked_at: datetime | None
    problems: int
    is_check_late: bool

    @property
    def is_sealing_late(self) -> bool:
        return self.lag > SILENT_SECONDS


def system_facts(session: Session, keys: Sequence[VerifierKey], now: datetime) -> Facts:
    """As the worker, at this moment. ``keys`` say whose word about the trail counts."""
    row = session.execute(FACTS).one()
    check = last_check(session, keys)
    return Facts(
        row.failed, row.failed_jobs, row.emergencies, row.alerts, row.lag,
        backups=read_standing(session.execute(text(STANDING)).one()),
        checked_at=None if check is None else check.at,
        problems=0 if check is None else check.problems,
        is_check_late=check is None or check.at < now - CHECK_LATE,
    )  # fmt: skip
