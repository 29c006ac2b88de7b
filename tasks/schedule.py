"""What is looked for between the slots of the timed jobs (services/job_schedule.py).

A *watch* asks the database every few seconds whether work waits, and wakes its workers: wake-ups get lost, rows
don't.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.access_alert_mail import DUE as DIGEST_DUE
from services.access_watch import BEHIND, CATCH_UP_DUE
from services.ai_run import WAITING as QUESTIONS
from services.audit_checkpoint import UNSIGNED
from services.backup_mail import DUE as STANDING_DUE
from services.backup_request import WAITING
from services.checkpoint_deliver import OWED
from services.password_link_send import DUE
from services.system_digest_mail import DUE as SYSTEM_DIGEST_DUE


@dataclass(frozen=True, slots=True)
class Watch:
    """Wake ``task`` when ``condition`` (SQL, as the worker) holds, looked at every ``seconds``. ``needs_mail``: what it
    sends has no other way than mail, and would be owed for ever where none can leave."""

    task: str
    condition: str
    seconds: float
    needs_mail: bool = False


WATCHES = (
    Watch("audit.drain", "EXISTS (SELECT FROM audit_outbox)", seconds=1.5),
    # At most a minute of the trail is without a checkpoint, the time of writing one included.
    Watch("audit.checkpoint", UNSIGNED, seconds=45.0),
    Watch("mail.checkpoints", f"EXISTS (SELECT FROM checkpoint_sinks WHERE {OWED})", seconds=10.0),
    Watch("mail.send", f"EXISTS (SELECT FROM password_links WHERE {DUE})", seconds=3.0),
    # A burst is one alert however far apart the looks are; nobody reviews within seconds.
    Watch("access.watch", BEHIND, seconds=20.0),
    Watch("access.catch_up", CATCH_UP_DUE, seconds=30.0),
    Watch("mail.alerts", DIGEST_DUE, seconds=30.0, needs_mail=True),
    Watch("mail.digest", SYSTEM_DIGEST_DUE, seconds=60.0, needs_mail=True),
    Watch("mail.backups", STANDING_DUE, seconds=60.0, needs_mail=True),
    Watch("backups.run", WAITING, seconds=10.0),
    # Somebody waits in front of a page; mostly the request itself woke the worker.
    Watch("inference.run", QUESTIONS, seconds=2.0),
    Watch(
        "imports.run",
        "EXISTS (SELECT FROM import_jobs j JOIN import_files f ON f.job_id = j.id WHERE j.state = 'QUEUED'"
        " OR j.state = 'RUNNING'"
        " AND coalesce(j.heartbeat_at, j.started_at, j.created_at) < now() - interval '1 minute')",
        seconds=5.0,
    ),
)
