"""The table of timed jobs: what is done when, by the clock. The scheduler starts them; the system page shows them.

Times are UTC, but of a job that is the clinic's own, which is at night where the clinic is. A job has slots and runs
once in each, wherever the clock strikes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from apscheduler.triggers.cron import CronTrigger

LOOK_BACK = (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=31), timedelta(days=366))


@dataclass(frozen=True, slots=True)
class TimedJob:
    """``task`` at the times of ``cron`` (minute, hour, day, month, weekday), in the clinic's time where ``is_local``. A
    run that has not ended after ``lost_after`` lost its message or its worker, and is started again."""

    task: str
    cron: str
    lost_after: timedelta
    is_local: bool = False

    def trigger(self, clinic: tzinfo = UTC) -> CronTrigger:
        return CronTrigger.from_crontab(self.cron, timezone=clinic if self.is_local else UTC)

    def latest_slot(self, now: datetime, clinic: tzinfo = UTC) -> datetime | None:
        """The last time at or before ``now``; None when there was none for a year."""
        trigger = self.trigger(clinic)
        for back in LOOK_BACK:
            found: datetime | None = None
            following = trigger.get_next_fire_time(None, now - back)
            while following is not None and following <= now:
                found, following = following, trigger.get_next_fire_time(following, following + timedelta(seconds=1))
            if found is not None:
                return found
        return None

    def next_slot(self, now: datetime, clinic: tzinfo = UTC) -> datetime | None:
        """The first time after ``now``; None when there is none."""
        following: datetime | None = self.trigger(clinic).get_next_fire_time(None, now + timedelta(microseconds=1))
        return following


CLEANUP = "cleanup.expired"
# Named so that they wait in no queue of the trail's: they take minutes where there are millions.
VERIFY, ARCHIVE = "chain.verify", "chain.archive"

BACKUP = "backups.daily"
DIGEST = "mail.digest"

JOBS = (
    TimedJob(CLEANUP, "17 * * * *", lost_after=timedelta(hours=1)),
    TimedJob("audit.partitions", "5 3 * * *", lost_after=timedelta(hours=1)),
    TimedJob(VERIFY, "35 3 * * *", lost_after=timedelta(hours=2)),
    TimedJob(ARCHIVE, "45 4 * * *", lost_after=timedelta(hours=3)),
    TimedJob(BACKUP, "0 2 * * *", lost_after=timedelta(hours=3), is_local=True),
    # Every morning; whether somebody is told, ADMIN_DIGEST says.
    TimedJob(DIGEST, "0 7 * * *", lost_after=timedelta(hours=1), is_local=True),
)
