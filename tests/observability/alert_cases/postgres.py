from tests.observability.alert_cases import Case, Series

PLACE = {"job": "postgres", "instance": "postgres-exporter:9187"}
EXPORTER = 'job="postgres",instance="postgres-exporter:9187"'


def connections(active: int, idle: int) -> Series:
    """Of 100, of which three are a superuser's."""
    return {
        f'pg_stat_activity_count{{{EXPORTER},datname="sigilo",state="active"}}': f"{active}x90",
        f'pg_stat_activity_count{{{EXPORTER},datname="sigilo",state="idle"}}': f"{idle}x90",
        f"pg_settings_max_connections{{{EXPORTER}}}": "100x90",
        f"pg_settings_superuser_reserved_connections{{{EXPORTER}}}": "3x90",
    }


def behind(standby: str) -> str:
    return f'pg_stat_replication_pg_wal_lsn_diff{{{EXPORTER},application_name="{standby}",state="streaming"}}'


def longest(state: str) -> str:
    return f'pg_stat_activity_max_tx_duration{{{EXPORTER},datname="sigilo",state="{state}"}}'


UP, DEADLOCKS = f"pg_up{{{EXPORTER}}}", f'pg_stat_database_deadlocks{{{EXPORTER},datname="sigilo"}}'
MEBIBYTES = 1 << 20

CASES = {
    "PostgresDown": Case(
        fires={UP: "1x2 0x90"},
        since=3,
        labels=PLACE,
        quiet=({UP: "1x2 0 1x90"},),
    ),
    "PostgresConnectionsHigh": Case(
        fires=connections(18, 60),
        since=0,
        labels={"instance": PLACE["instance"]},
        quiet=(connections(17, 60),),
    ),
    "PostgresReplicationLag": Case(
        fires={behind("second"): f"0x2 {65 * MEBIBYTES}x90", behind("third"): "0x90"},
        since=3,
        labels={"instance": PLACE["instance"], "application_name": "second"},
        quiet=({behind("second"): f"{64 * MEBIBYTES}x90"}, {behind("second"): f"{900 * MEBIBYTES}x4 0x90"}),
    ),
    "PostgresStandbyGone": Case(
        fires={UP: "1x200", behind("second"): "0x70 stale"},
        since=71,
        labels={"instance": PLACE["instance"]},
        quiet=(
            {UP: "1x200", behind("second"): "0x200"},
            {UP: "1x200"},
            # That PostgreSQL itself is away is another alert.
            {UP: "1x70 0x200", behind("second"): "0x70 stale"},
        ),
    ),
    "PostgresLongTransaction": Case(
        fires={longest("idle in transaction"): "0x2 301x90", longest("active"): "3600x90"},
        since=3,
        labels={"instance": PLACE["instance"], "state": "idle in transaction"},
        quiet=(
            {longest("idle in transaction"): "300x90", longest("active"): "10800x90"},
            {longest("idle"): "90000x90"},
        ),
    ),
    "PostgresDeadlocks": Case(
        fires={DEADLOCKS: "5x9 6+1x90"},
        since=11,
        labels={"instance": PLACE["instance"], "datname": "sigilo"},
        quiet=({DEADLOCKS: "5x9 6x90"}, {DEADLOCKS: "500x90"}),
    ),
    "PostgresNotMeasured": Case(
        fires={f"pg_exporter_last_scrape_error{{{EXPORTER}}}": "0x2 1x90"},
        since=3,
        labels=PLACE,
        quiet=({f"pg_exporter_last_scrape_error{{{EXPORTER}}}": "0x2 1x8 0x90"},),
    ),
}
