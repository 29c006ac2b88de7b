"""What is read at the moment somebody scrapes the web server, out of the database and Redis.

Nothing of it is kept, so none of it is ever old: what could not be read is NaN, or absent where it has a label. Only
the model's server, which nothing depends on, is asked beside it for the next time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric

# By the label's value where the metric has one. None: it could not be read.
Reading = float | Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class StateMetric:
    name: str
    help: str
    label: str | None = None


BUILD = "sigilo_build"
BUILD_HELP = "1 for the version that runs"
STATE_METRICS = (
    StateMetric("sigilo_queue_depth", "Messages that wait in Redis for a worker", "queue"),
    StateMetric(
        "sigilo_queue_oldest_age_seconds", "Since the message was sent that waits longest; 0 without one", "queue"
    ),
    StateMetric("sigilo_dead_letters_open", "Background work that failed for good and that nobody dealt with"),
    StateMetric(
        "sigilo_scheduler_last_run_timestamp_seconds", "When the job's newest run that ended did so; 0 without one",
        "slot",
    ),
    StateMetric(
        "sigilo_scheduler_slot_late",
        "1 when the job's newest slot is not begun after five minutes, or not ended after its time", "slot",
    ),
    StateMetric("sigilo_job_run_failed", "1 when the job's newest run that ended failed", "slot"),
    StateMetric(
        "sigilo_audit_outbox_events", "Audit events that wait to be sealed; counted to a hundred thousand"
    ),
    StateMetric("sigilo_audit_outbox_age_seconds", "Since the oldest audit event that is not sealed; 0 without one"),
    StateMetric(
        "sigilo_audit_checkpoint_overdue_seconds",
        "Since the oldest event of the trail was sealed that no checkpoint covers; 0 without one",
    ),
    StateMetric(
        "sigilo_audit_verified_timestamp_seconds", "When the trail was last verified and found whole; 0 when never"
    ),
    StateMetric("sigilo_audit_verification_failed", "1 when the newest verification of the trail found something"),
    StateMetric(
        "sigilo_audit_checkpoint_sink_failed", "1 when a place of this kind did not take the newest checkpoint", "sink"
    ),
    StateMetric("sigilo_access_alerts_open", "Unusual accesses that nobody has reviewed"),
    StateMetric(
        "sigilo_access_alerts_oldest_age_seconds",
        "Since the unusual access was noticed that has waited longest for a review; 0 without one",
    ),
    StateMetric("sigilo_emergency_accesses_open", "Emergency accesses that show a patient right now"),
    StateMetric("sigilo_emergency_accesses_unreviewed", "Emergency accesses that nobody has reviewed"),
    StateMetric(
        "sigilo_emergency_accesses_oldest_age_seconds",
        "Since the emergency access was granted that has waited longest for a review; 0 without one",
    ),
    StateMetric("sigilo_sessions", "People signed in at a browser and active lately, by the role they act in", "role"),
    StateMetric("sigilo_ai_waiting", "Questions that wait for an answer"),
    StateMetric(
        "sigilo_ai_model_up",
        "1 when Ollama answered and had the model at the scrape before; NaN where OLLAMA_URL is not set, or nobody "
        "asked yet",
    ),
    StateMetric("sigilo_import_jobs", "Imports by how they stand", "status"),
    StateMetric(
        "sigilo_backup_last_good_timestamp_seconds",
        "When the newest backup ended that a drill has restored; 0 without one",
    ),
    StateMetric("sigilo_backup_failed", "1 when the newest backup failed"),
    StateMetric("sigilo_backup_size_bytes", "Size of the newest backup that a drill has restored; NaN without one"),
    StateMetric(
        "sigilo_backup_seconds", "How long the newest backup took that a drill has restored; NaN without one"
    ),
    StateMetric("sigilo_backup_drill_failed", "1 when the newest restore drill did not pass"),
    StateMetric(
        "sigilo_backup_trail_damaged",
        "1 when the newest drill that passed found the audit trail not intact, as it is in the database",
    ),
    StateMetric(
        "sigilo_backup_drill_last_good_timestamp_seconds", "When a restore drill last passed; 0 without one"
    ),
    StateMetric(
        "sigilo_backup_restore_seconds",
        "How long the restore of the newest drill that passed took (RTO); NaN without one",
    ),
    StateMetric(
        "sigilo_backup_rpo_seconds",
        "Age of what a restore now would bring back: since the newest good backup, or the newest change in "
        "PostgreSQL's own archive where that is newer and plays back onto a base backup without a hole; NaN without a "
        "good backup",
    ),
    StateMetric(
        "sigilo_wal_archive_age_seconds",
        "Since the newest change in PostgreSQL's own archive; NaN where it archives nothing",
    ),
    StateMetric(
        "sigilo_wal_archive_waiting_bytes",
        "WAL that is not in PostgreSQL's own archive yet; NaN where it archives nothing",
    ),
    StateMetric(
        "sigilo_base_backup_age_seconds",
        "Since the newest full base backup of PostgreSQL's own archive, and since the newest of either kind "
        "(differential); absent where there is none, or none is told of", "kind",
    ),
    StateMetric(
        "sigilo_wal_archive_gap",
        "1 when changes since the newest base backup are missing in PostgreSQL's own archive; NaN where nobody looks",
    ),
    StateMetric("sigilo_visits", "Visits: those that wait or are in care, and those that ended today", "status"),
    StateMetric("sigilo_visit_wait_seconds", "How long the patient who waits longest has waited; 0 without one"),
    StateMetric("sigilo_patients", "Patients, inactive ones too; beyond twenty thousand PostgreSQL's estimate"),
    StateMetric("sigilo_records", "Records, inactive ones too; beyond twenty thousand PostgreSQL's estimate"),
)  # fmt: skip


def state_families(readings: Mapping[str, Reading]) -> Iterator[Metric]:
    """``readings`` (by name of the metric) as Prometheus has them; what is missing there could not be read."""
    for metric in STATE_METRICS:
        reading = readings.get(metric.name)
        if metric.label is None:
            assert not isinstance(reading, Mapping)  # noqa: S101  (said by the table)
            yield GaugeMetricFamily(metric.name, metric.help, math.nan if reading is None else float(reading))
            continue
        assert not isinstance(reading, int | float)  # noqa: S101  (said by the table)
        family = GaugeMetricFamily(metric.name, metric.help, labels=[metric.label])
        for value, number in sorted((reading or {}).items()):
            family.add_metric([value], float(number))
        yield family


def build_family(version: str) -> Metric:
    return InfoMetricFamily(BUILD, BUILD_HELP, {"version": version})
