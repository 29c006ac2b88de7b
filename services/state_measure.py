"""How the clinic and its background work stand, in numbers alone, for whoever scrapes the web server.

Asked as staff, who see rows of everybody but neither the outbox nor the trail, and one number of the trail as the
auditor. Sums over everybody say nothing of anybody: no event is written for them. Tables that grow with the years are
asked where an index answers, or estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from config import Principal, Settings
from models.engine import Databases
from models.import_job import JOB_STATES
from models.user import Role
from models.visit import VISIT_STATUSES
from observability.state_metrics import Reading
from services.audit_check_note import newest_check
from services.audit_checkpoint import signer_of
from services.authenticate import IDLE
from services.backup_standing import STANDING, read_standing
from services.base_backups import BASES, read_bases
from services.dead_letter_list import OPEN
from services.job_schedule import JOBS, VERIFY
from services.measure import Row, measure
from services.wal_archive import ARCHIVE, read_archive

Readings = dict[str, Reading]
BEGUN_WITHIN = timedelta(minutes=5)  # of its slot: the scheduler looks every minute for what it missed
COUNTED = 20_000  # rows of a table; beyond, PostgreSQL's own estimate is near enough, and costs nothing
SINKS = {"file": "folder", "s3": "s3", "mailto": "mail"}  # anything else is a web address

JOB_RUNS = """
    SELECT jsonb_object_agg(j.name, jsonb_build_object(
        'slot', extract(epoch FROM newest.slot), 'isOver', newest.finished_at IS NOT NULL,
        'startedAt', extract(epoch FROM newest.started_at),
        'endedAt', extract(epoch FROM ended.finished_at), 'failed', coalesce(ended.outcome = 'failure', FALSE)
    ))
    FROM unnest(%(jobs)s::text[]) j (name)
    LEFT JOIN LATERAL (
        SELECT slot, started_at, finished_at FROM job_runs WHERE job = j.name ORDER BY slot DESC LIMIT 1
    ) newest ON TRUE
    LEFT JOIN LATERAL (
        SELECT finished_at, outcome FROM job_runs WHERE job = j.name AND finished_at IS NOT NULL
        ORDER BY slot DESC LIMIT 1
    ) ended ON TRUE
"""
TRAIL = f"""
    SELECT waiting, audit_outbox_lag(),
        (SELECT jsonb_agg(note) FROM (SELECT note FROM audit_checks ORDER BY ended_at DESC LIMIT 10) c),
        (SELECT extract(epoch FROM max(finished_at))::float8 FROM job_runs
            WHERE job = '{VERIFY}' AND outcome = 'success'),
        (SELECT jsonb_object_agg(name, failure IS NOT NULL) FROM checkpoint_sinks),
        split_part(access_alerts_state(), '|', 2)::bigint,
        extract(epoch FROM now() - access_alerts_waiting_since())::float8
    FROM audit_standing()
"""
# As the auditor: no role of staff's reads the trail.
UNSIGNED = """
    SELECT extract(epoch FROM clock_timestamp() - (
        SELECT sealed_at FROM audit_trail
        WHERE sequence > coalesce((SELECT max(sequence) FROM audit_checkpoints), 0) ORDER BY sequence LIMIT 1
    ))::float8
"""
PEOPLE = f"""
    SELECT (SELECT jsonb_object_agg(acting_role, n) FROM (
            SELECT s.acting_role, count(*) AS n FROM sessions s WHERE s.ended_at IS NULL AND s.expires_at > now()
                AND s.last_seen_at > now() - {IDLE} GROUP BY 1
        ) r),
        count(*) FILTER (WHERE expires_at > now()), count(*) FILTER (WHERE reviewed_at IS NULL),
        extract(epoch FROM now() - min(granted_at) FILTER (WHERE reviewed_at IS NULL))::float8
    FROM break_glass_grants WHERE reviewed_at IS NULL OR expires_at > now()
"""
WORK = """
    SELECT (SELECT count(*) FROM ai_requests WHERE state = 'WAITING'),
        (SELECT jsonb_object_agg(state, n) FROM (SELECT state, count(*) AS n FROM import_jobs GROUP BY 1) j)
"""
BACKUPS = """
    SELECT size, extract(epoch FROM finished_at - started_at)::float8,
        (SELECT extract(epoch FROM max(finished_at))::float8 FROM backup_drills WHERE state = 'PASSED')
    FROM (SELECT) one LEFT JOIN (
        SELECT size, started_at, finished_at FROM backups
        WHERE state = 'VERIFIED' AND pruned_at IS NULL AND finished_at <= now() + interval '5 minutes'
        ORDER BY finished_at DESC LIMIT 1
    ) b ON TRUE
"""
VISITS = """
    SELECT (SELECT jsonb_object_agg(status, n) FROM (
            SELECT status, count(*) AS n FROM visits WHERE status IN ('WAITING', 'IN_CARE') GROUP BY 1
            UNION ALL
            SELECT status, count(*) FROM visits WHERE status IN ('DONE', 'LEFT')
                AND arrived_at >= %(today)s::timestamptz - interval '1 day' AND closed_at >= %(today)s::timestamptz
            GROUP BY 1
        ) v),
        (SELECT extract(epoch FROM now() - min(arrived_at))::float8 FROM visits WHERE status = 'WAITING')
"""
SIZES = " UNION ALL ".join(
    f"SELECT '{table}', CASE WHEN reltuples < {COUNTED}"
    f" THEN (SELECT count(*) FROM (SELECT FROM {table} LIMIT {COUNTED}) t) ELSE reltuples END"
    f" FROM pg_class WHERE oid = '{table}'::regclass"
    for table in ("patients", "medical_records")
)
ROWS = f"SELECT jsonb_object_agg(name, rows) FROM ({SIZES}) s (name, rows)"


def measure_state(databases: Databases, settings: Settings, now: datetime) -> Readings:
    """Readings by name of the metric (``observability/state_metrics.py``); missing is what nobody answered."""
    here = now.astimezone(settings.timezone)
    today = here.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
    parameters = {"jobs": [job.task for job in JOBS], "today": today}
    rows = measure(
        databases, *(part.statement for part in PARTS), principal=Principal.STAFF, parameters=parameters
    )
    found: Readings = {}
    for part, row in zip(PARTS, rows, strict=True):
        if row is not None:
            found |= part.read(row, settings, now)
    if any(row is not None for row in rows):  # else the server is away, and is not waited for once more
        [unsigned] = measure(databases, UNSIGNED, principal=Principal.AUDITOR)
        if unsigned is not None:
            found["sigilo_audit_checkpoint_overdue_seconds"] = max(0.0, unsigned[0] or 0.0)
    found |= rpo(found, now)
    return found


def _letters(row: Row, _: Settings, __: datetime) -> Readings:
    return {"sigilo_dead_letters_open": row[0]}


def _jobs(row: Row, settings: Settings, now: datetime) -> Readings:
    last: dict[str, float] = {}
    late: dict[str, float] = {}
    failed: dict[str, float] = {}
    for job in JOBS:
        run: Mapping[str, Any] = row[0][job.task]
        slot = job.latest_slot(now, settings.timezone)
        last[job.task] = run["endedAt"] or 0
        failed[job.task] = run["failed"]
        is_begun = slot is None or (run["slot"] or 0) >= slot.timestamp()
        is_lost = not run["isOver"] and now.timestamp() - (run["startedAt"] or 0) > job.lost_after.total_seconds()
        late[job.task] = is_lost if is_begun else slot is not None and now - slot > BEGUN_WITHIN
    return {
        "sigilo_scheduler_last_run_timestamp_seconds": last,
        "sigilo_scheduler_slot_late": late,
        "sigilo_job_run_failed": failed,
    }


def _trail(row: Row, settings: Settings, _: datetime) -> Readings:
    waiting, age, notes, success, sinks, alerts, alerts_age = row
    check = newest_check(notes or [], signer_of(settings).trusted)
    is_whole = check is not None and check.problems == 0
    verified = check.at.timestamp() if check is not None and is_whole else success or 0
    kinds: dict[str, float] = {}
    for name, has_failed in (sinks or {}).items():
        kind = SINKS.get(urlsplit(name).scheme, "webhook")
        kinds[kind] = max(kinds.get(kind, 0), has_failed)
    return {
        "sigilo_audit_outbox_events": waiting,
        "sigilo_audit_outbox_age_seconds": max(0.0, age),
        "sigilo_audit_verified_timestamp_seconds": verified,
        "sigilo_audit_verification_failed": check is not None and not is_whole,
        "sigilo_audit_checkpoint_sink_failed": kinds,
        "sigilo_access_alerts_open": alerts,
        "sigilo_access_alerts_oldest_age_seconds": max(0.0, alerts_age or 0.0),
    }


def _people(row: Row, _: Settings, __: datetime) -> Readings:
    sessions, shown, unreviewed, age = row
    return {
        "sigilo_sessions": _by(sessions, Role),
        "sigilo_emergency_accesses_open": shown,
        "sigilo_emergency_accesses_unreviewed": unreviewed,
        "sigilo_emergency_accesses_oldest_age_seconds": max(0.0, age or 0.0),
    }


def _work(row: Row, _: Settings, __: datetime) -> Readings:
    return {"sigilo_ai_waiting": row[0], "sigilo_import_jobs": _by(row[1], JOB_STATES)}


def _standing(row: Row, _: Settings, __: datetime) -> Readings:
    standing = read_standing(row)
    return {
        "sigilo_backup_last_good_timestamp_seconds": 0 if standing.good_at is None else standing.good_at.timestamp(),
        "sigilo_backup_failed": "failed" in standing.alerts,
        "sigilo_backup_drill_failed": bool({"drill-failed", "drill-damaged"} & {*standing.alerts}),
        "sigilo_backup_trail_damaged": "trail-damaged" in standing.alerts,
        "sigilo_backup_restore_seconds": standing.restore_seconds,
    }


def _backups(row: Row, _: Settings, __: datetime) -> Readings:
    size, seconds, drilled_at = row
    return {
        "sigilo_backup_size_bytes": size,
        "sigilo_backup_seconds": seconds,
        "sigilo_backup_drill_last_good_timestamp_seconds": drilled_at or 0,
    }


def _archive(row: Row, _: Settings, __: datetime) -> Readings:
    archive = read_archive(row)
    return {
        "sigilo_wal_archive_age_seconds": None if archive is None else archive.age.total_seconds(),
        "sigilo_wal_archive_waiting_bytes": None if archive is None else archive.waiting,
    }


def _bases(row: Row, _: Settings, __: datetime) -> Readings:
    found = read_bases(row)
    if found is None:
        return {}
    ages = {"full": found.age(found.full_at), "differential": found.age(found.differential_at)}
    return {
        "sigilo_base_backup_age_seconds": {kind: age for kind, age in ages.items() if age is not None},
        "sigilo_wal_archive_gap": None if found.is_unseen else found.missing > 0,
    }


def _visits(row: Row, _: Settings, __: datetime) -> Readings:
    return {"sigilo_visits": _by(row[0], VISIT_STATUSES), "sigilo_visit_wait_seconds": max(0.0, row[1] or 0.0)}


def _rows(row: Row, _: Settings, __: datetime) -> Readings:
    return {"sigilo_patients": row[0]["patients"], "sigilo_records": row[0]["medical_records"]}


def rpo(found: Readings, now: datetime) -> Readings:
    """Changes are played back onto base backups of the archive alone: one that is known to have none, or a hole since,
    brings nothing newer than the newest good backup does."""
    good_at = found.get("sigilo_backup_last_good_timestamp_seconds")
    archived = found.get("sigilo_wal_archive_age_seconds")
    bases = found.get("sigilo_base_backup_age_seconds", ("full",))
    is_of_use = bool(bases) and not found.get("sigilo_wal_archive_gap")
    if not isinstance(good_at, int | float) or not good_at:
        return {}
    age = max(0.0, now.timestamp() - good_at)
    return {
        "sigilo_backup_rpo_seconds": min(age, archived) if is_of_use and isinstance(archived, int | float) else age
    }


def _by(counts: Mapping[str, int] | None, values: Sequence[str] | type[Role]) -> dict[str, float]:
    """Every value of a closed list, 0 where nothing has it."""
    return {str(value).lower(): (counts or {}).get(str(value), 0) for value in values}


@dataclass(frozen=True, slots=True)
class Part:
    """A statement of one row at most, and what its row says."""

    statement: str
    read: Callable[[Row, Settings, datetime], Readings]


PARTS = (
    Part(OPEN, _letters), Part(JOB_RUNS, _jobs), Part(TRAIL, _trail), Part(PEOPLE, _people), Part(WORK, _work),
    Part(STANDING, _standing), Part(BACKUPS, _backups), Part(ARCHIVE, _archive), Part(BASES, _bases),
    Part(VISITS, _visits), Part(ROWS, _rows),
)  # fmt: skip
