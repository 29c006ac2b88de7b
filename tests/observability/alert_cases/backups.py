from tests.observability.alert_cases import NOT_KNOWN, Case, Series

WEB, OTHER = 'job="sigilo-web",instance="web-1:8000"', 'job="sigilo-web",instance="web-2:8000"'
ARCHIVER = 'pg_stat_archiver_failed_count{job="postgres",instance="postgres-exporter:9187"}'


def state(name: str, values: str) -> Series:
    return {f"sigilo_{name}{{{web}}}": values for web in (WEB, OTHER)}


def base(kind: str) -> str:
    return f'sigilo_base_backup_age_seconds{{{WEB},kind="{kind}"}}'


CASES = {
    "BackupFailed": Case(
        fires=state("backup_failed", "0x2 1x90"),
        since=3,
        quiet=(state("backup_failed", "0x90"), state("backup_failed", NOT_KNOWN), state("backup_failed", "1x4 0x90")),
    ),
    # Minutes are counted from the year 1970: a backup of its first minute is 26 h old at minute 1561.
    "BackupOld": Case(
        fires=state("backup_last_good_timestamp_seconds", "60x99"),
        since=1590,
        step=30,
        quiet=(
            state("backup_last_good_timestamp_seconds", "60x52 90000x99"),
            state("backup_last_good_timestamp_seconds", "0x99"),
        ),
    ),
    "BackupMissing": Case(
        fires=state("backup_last_good_timestamp_seconds", "0x99"),
        since=0,
        step=30,
        quiet=(state("backup_last_good_timestamp_seconds", "0x51 90000x99"),),
    ),
    "BackupDrillFailed": Case(
        fires=state("backup_drill_failed", "0x2 1x90"),
        since=3,
        quiet=(state("backup_drill_failed", "0x90"),),
    ),
    "BackupDrillOld": Case(
        fires=state("backup_drill_last_good_timestamp_seconds", "60x200"),
        since=3030,
        step=30,
        quiet=(
            state("backup_drill_last_good_timestamp_seconds", "60x100 180000x200"),
            state("backup_drill_last_good_timestamp_seconds", "0x200"),
        ),
    ),
    "BackupTrailDamaged": Case(
        fires=state("backup_trail_damaged", "0x2 1x90"),
        since=3,
        quiet=(state("backup_trail_damaged", "0x90"), state("backup_trail_damaged", NOT_KNOWN)),
    ),
    "WalArchiveLate": Case(
        fires=state("wal_archive_age_seconds", "121x90") | state("wal_archive_waiting_bytes", "0x2 1048577x90"),
        since=3,
        quiet=(
            # A night without a change: old, and nothing waits for it.
            state("wal_archive_age_seconds", "9000x90") | state("wal_archive_waiting_bytes", "1000000x90"),
            state("wal_archive_age_seconds", "120x90") | state("wal_archive_waiting_bytes", "90000000x90"),
            state("wal_archive_age_seconds", NOT_KNOWN) | state("wal_archive_waiting_bytes", NOT_KNOWN),
        ),
    ),
    "WalArchiveFailing": Case(
        fires={ARCHIVER: "0x9 1+1x90"},
        since=11,
        labels={"job": "postgres", "instance": "postgres-exporter:9187"},
        quiet=({ARCHIVER: "3x9 4x90"}, {ARCHIVER: "70x90"}),
    ),
    "WalArchiveGap": Case(
        fires=state("wal_archive_gap", "0x2 1x90"),
        since=3,
        quiet=(state("wal_archive_gap", "0x90"), state("wal_archive_gap", NOT_KNOWN)),
    ),
    "BaseBackupOld": Case(
        fires={base("full"): "100000x90", base("differential"): "0x2 108001x90"},
        since=3,
        labels={"kind": "differential"},
        quiet=(
            {base("full"): "734400x90", base("differential"): "108000x90"},
            {base("full"): NOT_KNOWN, base("differential"): NOT_KNOWN},
        ),
    ),
    "BaseBackupMissing": Case(
        fires=state("wal_archive_gap", "0x99"),
        since=0,
        step=30,
        quiet=(
            state("wal_archive_gap", "0x99") | {base("full"): "0x99"},
            state("wal_archive_gap", NOT_KNOWN),  # nobody looks, or there is no archive
            state("wal_archive_gap", "0x51") | {base("full"): "_x51 0x99"},
        ),
    ),
}
