"""Backups that were restored, and what a restore right now would give and take."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana.page import page
from observability.grafana.panels import YES_IS_BAD, Query, Words, above, figure, trend
from observability.grafana.runbooks import Runbook

NIGHT, TWO_NIGHTS = 93_600, 180_000  # seconds: with two hours to spare

STANDING = (
    figure(
        "Last good backup",
        Query("time() - max(sigilo_backup_last_good_timestamp_seconds > 0)"),
        words=Words(
            "Age of the newest backup that a drill has restored.",
            "Below 26 hours: one is made every night.",
            Runbook.BACKUPS,
        ),
        unit="s",
        levels=above(NIGHT, TWO_NIGHTS),
    ),
    figure(
        "Newest backup",
        Query("max(sigilo_backup_failed)"),
        words=Words(
            "Whether the newest backup was made.",
            "Made. The page /backups says why one failed.",
            Runbook.BACKUPS,
        ),
        levels=YES_IS_BAD,
        states={0: "Made", 1: "Failed"},
    ),
    figure(
        "Newest drill",
        Query("max(sigilo_backup_drill_failed)"),
        words=Words(
            "Whether the newest backup could be restored and was complete.",
            "Passed. A backup that does not restore is none.",
            Runbook.BACKUPS,
        ),
        levels=YES_IS_BAD,
        states={0: "Passed", 1: "Failed"},
    ),
    figure(
        "Would be lost now",
        Query("max(sigilo_backup_rpo_seconds)"),
        words=Words(
            "How old what a restore right now would bring back is (RPO): the newer of backup and archived WAL.",
            "Below 5 minutes with an archive of WAL, below 26 hours without.",
            Runbook.BACKUPS,
        ),
        unit="s",
        levels=above(NIGHT, TWO_NIGHTS),
    ),
    figure(
        "A restore takes",
        Query("max(sigilo_backup_restore_seconds)"),
        words=Words(
            "How long the newest drill took to restore (RTO). Fetching from far away comes on top.",
            "Minutes, growing with the clinic.",
            Runbook.BACKUPS,
        ),
        unit="s",
        levels=above(1800, 3600),
    ),
    figure(
        "Last drill that passed",
        Query("time() - max(sigilo_backup_drill_last_good_timestamp_seconds > 0)"),
        words=Words(
            "Since a backup was last restored for a try.",
            "Below 26 hours: every backup is.",
            Runbook.BACKUPS,
        ),
        unit="s",
        levels=above(NIGHT, TWO_NIGHTS),
    ),
)
OVER_TIME = (
    trend(
        "Size",
        Query("max(sigilo_backup_size_bytes)", "newest good backup"),
        words=Words(
            "Bytes of the newest good backup, packed and encrypted.",
            "A little more every night. Half of yesterday's is missing something.",
            Runbook.BACKUPS,
        ),
        unit="bytes",
    ),
    trend(
        "Durations",
        Query("max(sigilo_backup_seconds)", "to make"),
        Query("max(sigilo_backup_restore_seconds)", "to restore"),
        words=Words(
            "How long the newest good backup took to make, and its drill to restore.",
            "Minutes, growing with the clinic.",
            Runbook.BACKUPS,
        ),
        unit="s",
    ),
    trend(
        "Would be lost, over time",
        Query("max(sigilo_backup_rpo_seconds)", "age of what would be restored"),
        words=Words(
            "A saw: it grows until the next backup or archived WAL.",
            "Its teeth are a day high at most.",
            Runbook.BACKUPS,
        ),
        unit="s",
        levels=above(NIGHT),
    ),
    trend(
        "Archive of WAL: age",
        Query("max(sigilo_wal_archive_age_seconds)", "newest archived change"),
        words=Words(
            "Since the newest change in PostgreSQL's own archive. No data where it archives nothing.",
            "Below a minute while somebody writes; it grows while the clinic sleeps and nothing waits.",
            Runbook.BACKUPS,
        ),
        unit="s",
        levels=above(120),
    ),
    trend(
        "Archive of WAL: waiting",
        Query("max(sigilo_wal_archive_waiting_bytes)", "not archived yet"),
        words=Words(
            "WAL that is not in the archive yet. It stays on the database's disk until then, and fills it.",
            "Below 16 MiB, one file.",
            Runbook.BACKUPS,
        ),
        unit="bytes",
        levels=above(67_108_864),
    ),
    trend(
        "Archiver",
        Query('sum(increase(pg_stat_archiver_archived_count{job="postgres"}[$__rate_interval]))', "archived"),
        Query('sum(increase(pg_stat_archiver_failed_count{job="postgres"}[$__rate_interval]))', "failed"),
        words=Words(
            "Files of WAL that were archived, and attempts that failed.",
            "None failed.",
            Runbook.BACKUPS,
        ),
    ),
)


def build() -> Dashboard:
    return page(
        "backups",
        "Sigilo: backups",
        "Backups that were restored, and what a restore right now would give and take.",
        (("How is it?", STANDING), ("Over time", OVER_TIME)),
        shown="now-7d",
    )
