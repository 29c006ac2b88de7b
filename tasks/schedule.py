"""What is looked for between the slots of the timed jobs (services/job_schedule.py).

A *watch* asks the database every few seconds whether work waits, and wakes its workers: wake-ups get lost, rows
don't.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.access_alert_mail import DUE as DIGEST_DUE
from services.access_watch import BEHIND
from services.audit_checkpoint import UNSIGNED
from services.checkpoint_deliver import OWED
from services.password_link_send import DUE


@dataclass(frozen=True, slots=True)
class Watch:
    """Wake ``task`` when ``condition`` (SQL, as the worker) holds, looked at every ``seconds``."""

    task: str
    condition: str
    seconds: float


WATCHES = (
    Watch("audit.drain", "EXISTS (SELECT FROM audit_outbox)", seconds=1.5),
    # At most a minute of the trail is without a checkpoint, the time of writing one included.
    Watch("audit.checkpoint", UNSIGNED, seconds=45.0),
    Watch("mail.checkpoints", f"EXISTS (SELECT FROM checkpoint_sinks WHERE {OWED})", seconds=10.0),
    Watch("mail.send", f"EXISTS (SELECT FROM password_links WHERE {DUE})", seconds=3.0),
    # A burst is one alert however far apart the looks are; nobody reviews within seconds.
    Watch("access.watch", BEHIND, seconds=20.0),
    Watch("mail.alerts", DIGEST_DUE, seconds=30.0),
    Watch(
        "imports.run",
        "EXISTS (SELECT FROM import_jobs j JOIN import_files f ON f.job_id = j.id WHERE j.state = 'QUEUED'"
        " OR j.state = 'RUNNING'"
        " AND coalesce(j.heartbeat_at, j.started_at, j.created_at) < now() - interval '1 minute')",
        seconds=5.0,
    ),
)
