"""PostgreSQL as its exporter sees it, the pools in front of it, and its statements where they are counted."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana.page import page
from observability.grafana.panels import YES_IS_GOOD, Query, Words, above, bars, below, figure, listing, trend
from observability.grafana.queries import within
from observability.grafana.runbooks import Runbook

OVER = "$__rate_interval"
OURS = 'job="postgres", datname!~"template.*|postgres|"'

STANDING = (
    figure(
        "Server",
        Query('min(pg_up{job="postgres"})'),
        words=Words("Whether PostgreSQL answers its exporter.", "Up.", Runbook.POSTGRES),
        levels=YES_IS_GOOD,
        states={0: "Away", 1: "Up"},
    ),
    figure(
        "Connections taken",
        Query(
            'sum(pg_stat_activity_count{job="postgres"})'
            ' / on() max(pg_settings_max_connections{job="postgres"})'
        ),
        words=Words(
            "Share of all connections that the server allows.",
            "Below 70 %. When all are taken, new processes of Sigilo can't start.",
            Runbook.POSTGRES,
        ),
        unit="percentunit",
        levels=above(0.7, 0.9),
    ),
    figure(
        "Read from memory",
        Query(
            f"sum(rate(pg_stat_database_blks_hit{{{OURS}}}[$__range])) / (sum(rate(pg_stat_database_blks_hit{{{OURS}}}"
            f"[$__range])) + sum(rate(pg_stat_database_blks_read{{{OURS}}}[$__range])))"
        ),
        words=Words(
            "Share of blocks in the time shown that were in the server's own memory already.",
            "Above 99 %. Less means that the clinic's daily data no longer fits into shared_buffers.",
            Runbook.POSTGRES,
        ),
        unit="percentunit",
        levels=below(0.99, 0.95),
        decimals=1,
    ),
    figure(
        "Longest transaction",
        Query('max(pg_stat_activity_max_tx_duration{job="postgres"})'),
        words=Words(
            "Since the oldest transaction that is still open began.",
            "Seconds; minutes during a backup. One of hours keeps the server from cleaning up.",
            Runbook.POSTGRES,
        ),
        unit="s",
        levels=above(900, 3600),
    ),
    figure(
        "Deadlocks",
        Query(f"sum(increase(pg_stat_database_deadlocks{{{OURS}}}[$__range]))"),
        words=Words(
            "Transactions in the time shown that blocked one another, so that the server ended one.",
            "0.",
            Runbook.POSTGRES,
        ),
        levels=above(1, 10),
        decimals=0,
    ),
    figure(
        "Size",
        Query(f"sum(pg_database_size_bytes{{{OURS}}})"),
        words=Words(
            "What the clinic's databases take on the disk.",
            "Grows a little every day. A jump is an import, or a table that is no longer cleaned up.",
            Runbook.POSTGRES,
        ),
        unit="bytes",
    ),
)
POOLS = (
    trend(
        "Connections in use, by pool",
        Query("sum by (principal) (sigilo_db_pool_in_use)", "{{principal}}"),
        words=Words(
            "Connections that requests and tasks hold at this moment, by the database role they work as.",
            "One or two of each. A pool that stays full makes requests wait.",
            Runbook.POSTGRES,
        ),
    ),
    bars(
        "How full the pools are",
        Query(
            "sum by (principal) (sigilo_db_pool_in_use) / sum by (principal) (sigilo_db_pool_size > 0)", "{{principal}}"
        ),
        words=Words("Share of each pool's connections in use.", "Below half.", Runbook.POSTGRES),
        unit="percentunit",
        levels=above(0.8, 1),
        highest=1,
    ),
    trend(
        "Waiting for a connection",
        Query(within("sigilo_db_pool_wait_seconds", 0.95, OVER, by="principal"), "{{principal}}"),
        words=Words(
            "Time within which 95 of 100 got a connection of their pool.",
            "Milliseconds.",
            Runbook.POSTGRES,
        ),
        unit="s",
        levels=above(0.1, 1),
    ),
    trend(
        "Requests that got no connection",
        Query(f"sum by (principal) (rate(sigilo_db_pool_timeouts_total[{OVER}]))", "{{principal}}"),
        words=Words(
            "Requests and tasks a second that gave up waiting; requests answer 503.",
            "0.",
            Runbook.POSTGRES,
        ),
        unit="reqps",
        levels=above(0.001),
    ),
)
WORK = (
    trend(
        "Transactions",
        Query(f"sum(rate(pg_stat_database_xact_commit{{{OURS}}}[{OVER}]))", "committed"),
        Query(f"sum(rate(pg_stat_database_xact_rollback{{{OURS}}}[{OVER}]))", "rolled back"),
        words=Words(
            "Transactions a second, by how they ended.",
            "Hardly any is rolled back: validation happens before.",
            Runbook.POSTGRES,
        ),
        unit="ops",
    ),
    trend(
        "Connections by what they do",
        Query('sum by (state) (pg_stat_activity_count{job="postgres"})', "{{state}}"),
        words=Words(
            "Connections of all databases by their state.",
            "Mostly idle. Some that stay «idle in transaction» hold what others wait for.",
            Runbook.POSTGRES,
        ),
        stacked=True,
    ),
    trend(
        "Rows",
        Query(f"sum(rate(pg_stat_database_tup_fetched{{{OURS}}}[{OVER}]))", "read by index"),
        Query(f"sum(rate(pg_stat_database_tup_inserted{{{OURS}}}[{OVER}]))", "inserted"),
        Query(f"sum(rate(pg_stat_database_tup_updated{{{OURS}}}[{OVER}]))", "updated"),
        Query(f"sum(rate(pg_stat_database_tup_deleted{{{OURS}}}[{OVER}]))", "deleted"),
        words=Words(
            "Rows a second by what was done with them. Each event is inserted, deleted and inserted on its way to the"
            " trail.",
            "Follows the requests; imports and clean-ups are steps.",
            Runbook.POSTGRES,
        ),
        unit="ops",
    ),
    trend(
        "Locks held",
        Query(f"sum by (mode) (pg_locks_count{{{OURS}}}) > 0", "{{mode}}"),
        words=Words(
            "Locks by their kind.",
            "accesssharelock and rowexclusivelock come and go. An accessexclusivelock that stays is a migration that"
            " waits.",
            Runbook.POSTGRES,
        ),
    ),
    trend(
        "Sorted on the disk",
        Query(f"sum(rate(pg_stat_database_temp_bytes{{{OURS}}}[{OVER}]))", "bytes"),
        words=Words(
            "What statements wrote into temporary files, a second, because work_mem was too small for them.",
            "0 but for exports and backups.",
            Runbook.POSTGRES,
        ),
        unit="Bps",
    ),
    trend(
        "Standbys behind",
        Query(
            'max by (application_name) (pg_stat_replication_pg_wal_lsn_diff{job="postgres"})', "{{application_name}}"
        ),
        words=Words(
            "WAL that each standby has not replayed yet, as the primary sees it. No data: there is no standby.",
            "Kilobytes. What a standby has not got is lost when the primary is.",
            Runbook.POSTGRES,
        ),
        unit="bytes",
        levels=above(67_108_864),
    ),
)
TABLES = (
    bars(
        "Tables by rows to clean up",
        Query('topk(10, max by (relname) (pg_stat_user_tables_n_dead_tup{job="postgres"}) > 0)', "{{relname}}"),
        words=Words(
            "Dead rows that autovacuum has not removed.",
            "Below a fifth of the table. audit_outbox comes and goes.",
            Runbook.POSTGRES,
        ),
    ),
    bars(
        "Tables read from end to end",
        Query(
            'topk(10, max by (relname) (increase(pg_stat_user_tables_seq_tup_read{job="postgres"}[$__range])) > 0)',
            "{{relname}}",
        ),
        words=Words(
            "Rows in the time shown that were read without an index.",
            "Small tables alone. A table of records or of the trail here lacks an index.",
            Runbook.POSTGRES,
        ),
    ),
)
STATEMENT = "by (queryid, user)"
STATEMENTS = (
    listing(
        "Statements by time",
        Query(
            f"topk(10, sum {STATEMENT} (increase(pg_stat_statements_seconds_total{{{OURS}}}[$__range])))"
        ),
        columns={"queryid": "Statement", "user": "As", "Value": "Seconds in all"},
        words=Words(
            "Statements that took most of the server's time, by their number: texts stay in the database, where"
            " SELECT query FROM pg_stat_statements WHERE queryid = … shows one.",
            "The list call and the drain of the trail lead.",
            Runbook.POSTGRES,
        ),
        unit="s",
    ),
    listing(
        "Slowest statements",
        Query(
            f"topk(10, sum {STATEMENT} (increase(pg_stat_statements_seconds_total{{{OURS}}}[$__range]))"
            f" / sum {STATEMENT} (increase(pg_stat_statements_calls_total{{{OURS}}}[$__range]) > 0))"
        ),
        columns={"queryid": "Statement", "user": "As", "Value": "Seconds a call"},
        words=Words(
            "Statements by the time of one call, on average.",
            "Backups and figures of a day lead; what a page asks stays below 0.1 s.",
            Runbook.POSTGRES,
        ),
        unit="s",
    ),
)


def build() -> Dashboard:
    return page(
        "database",
        "Sigilo: database",
        "PostgreSQL and the pools in front of it. Statements are counted where pg_stat_statements is loaded.",
        (
            ("How is it?", STANDING),
            ("Pools", POOLS),
            ("Work", WORK),
            ("Tables", TABLES),
            ("Statements", STATEMENTS),
        ),
    )
