"""The one table of timed work: what happens when, by the clock, and what is looked for in between.

Times are UTC. A *job* has slots and runs once in each, wherever the clock strikes. A *watch* asks the database
every few seconds whether work waits, and wakes its workers: wake-ups get lost, rows don't.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from apscheduler.triggers.cron import CronTrigger

from services.password_link_send import DUE

LOOK_BACK = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=31), timedelta(days=366))


@dataclass(frozen=True, slots=True)
class TimedJob:
    """``task`` at the times of ``cron`` (minute, hour, day, month, weekday). A run that has not ended after
    ``lost_after`` lost its message or its worker, and is started again."""

    task: str
    cron: str
    lost_after: timedelta

    def trigger(self) -> CronTrigger:
        return CronTrigger.from_crontab(self.cron, timezone="UTC")

    def latest_slot(self, now: datetime) -> datetime | None:
        """The last time at or before ``now``; None when there was none for a year."""
        trigger = self.trigger()
        for back in LOOK_BACK:
            found: datetime | None = None
            following = trigger.get_next_fire_time(None, now - back)
            while following is not None and following <= now:
                found, following = following, trigger.get_next_fire_time(following, following + timedelta(seconds=1))
            if found is not None:
                return found
        return None


@dataclass(frozen=True, slots=True)
class Watch:
    """Wake ``task`` when ``condition`` (SQL, as the worker) holds, looked at every ``seconds``."""

    task: str
    condition: str
    seconds: float


JOBS = (
    TimedJob("cleanup.expired", "17 * * * *", lost_after=timedelta(hours=1)),
    TimedJob("audit.partitions", "5 3 * * *", lost_after=timedelta(hours=1)),
)

WATCHES = (
    Watch("audit.drain", "EXISTS (SELECT FROM audit_outbox)", seconds=1.5),
    Watch("mail.send", f"EXISTS (SELECT FROM password_links WHERE {DUE})", seconds=3.0),
    Watch(
        "imports.run",
        "EXISTS (SELECT FROM import_jobs j JOIN import_files f ON f.job_id = j.id WHERE j.state = 'QUEUED'"
        " OR j.state = 'RUNNING'"
        " AND coalesce(j.heartbeat_at, j.started_at, j.created_at) < now() - interval '1 minute')",
        seconds=5.0,
    ),
)
