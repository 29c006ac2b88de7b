"""Whether the database answers within 100 ms: by its own statistics where it keeps them, which Prometheus has collected
or this database shows, else by running what pages ask most once more and looking at the clock."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import psycopg

from config import Principal
from embedded.preflight.check import FailedError
from embedded.preflight.ground import Ground

MOST_MS = 100.0
HAS_STATISTICS = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements')"
# Of the application's roles; backups and migrations take their time.
STATISTICS = """
    SELECT count(*), sum(s.calls), max(s.mean_exec_time),
        array_agg(r.rolname || ': ' || round(s.mean_exec_time::numeric, 1) || ' ms × ' || s.calls
            ORDER BY s.mean_exec_time DESC) FILTER (WHERE s.mean_exec_time > %(most)s)
    FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid JOIN pg_database d ON d.oid = s.dbid
    WHERE d.datname = current_database() AND s.calls > 1
        AND r.rolname IN ('sigilo_staff', 'sigilo_patient', 'sigilo_anonymous', 'sigilo_auditor')
"""
# The same figures, as observability/postgres-exporter/statements.yml brings them to Prometheus: in production the
# extension stands in another database than the clinic's, and only its exporter reads it.
ROLES = 'user=~"sigilo_(staff|patient|anonymous|auditor)"'
COLLECTED = (
    f"sum by (queryid, user) (increase(pg_stat_statements_seconds_total{{{ROLES}}}[%(window)ds])) * 1000"
    f" / sum by (queryid, user) (increase(pg_stat_statements_calls_total{{{ROLES}}}[%(window)ds]) > 1)"
)
WINDOW_MIN, WINDOW_MAX = 3600, 86_400  # seconds
# What pages ask most, as services/ do it but without masks and events; each reads some rows by an index.
STATEMENTS = {
    "newest records": (
        Principal.STAFF,
        "SELECT * FROM medical_records WHERE deleted_at IS NULL ORDER BY occurred_at DESC, id DESC LIMIT 20",
    ),
    "one patient's records": (
        Principal.STAFF,
        "SELECT * FROM medical_records WHERE deleted_at IS NULL AND patient_id = (SELECT patient_id"
        " FROM medical_records ORDER BY occurred_at DESC LIMIT 1) ORDER BY occurred_at DESC, id DESC LIMIT 20",
    ),
    "patients by name": (
        Principal.STAFF, "SELECT * FROM patients WHERE deleted_at IS NULL ORDER BY name_key, id LIMIT 20"
    ),
    "waiting room": (
        Principal.STAFF, "SELECT * FROM visits WHERE status IN ('WAITING', 'IN_CARE') ORDER BY arrived_at LIMIT 200"
    ),
    "newest of the trail": (Principal.AUDITOR, "SELECT * FROM audit_trail ORDER BY sequence DESC LIMIT 50"),
}  # fmt: skip


def queries_are_quick(ground: Ground) -> str:
    if ground.given.prometheus_url and (collected := _collected(ground)):
        return _by_figures(collected)
    with ground.connection(Principal.STAFF) as connection:
        if connection.execute(HAS_STATISTICS).fetchone() == (True,):
            try:
                return _by_statistics(connection)
            except psycopg.errors.Error as error:
                if error.sqlstate not in ("55000", "42501"):  # not loaded at start; not for this role
                    raise
    return _by_running(ground)


def _collected(ground: Ground) -> dict[str, float]:
    """By statement and role, milliseconds of one run on average since the switch; empty where nobody collects them."""
    since = (datetime.now(UTC) - ground.given.since).total_seconds()
    window = min(max(int(since), WINDOW_MIN), WINDOW_MAX)
    url = f"{ground.given.prometheus_url.rstrip('/')}/api/v1/query"
    answer = ground.client.get(url, params={"query": COLLECTED % {"window": window}}).raise_for_status().json()
    found = {
        f"{each['metric']['user']}, statement {each['metric']['queryid']}": float(each["value"][1])
        for each in answer["data"]["result"]
    }
    return {name: milliseconds for name, milliseconds in found.items() if math.isfinite(milliseconds)}


def _by_figures(collected: dict[str, float]) -> str:
    slow = sorted((ms, name) for name, ms in collected.items() if ms > MOST_MS)
    if slow:
        worst = "; ".join(f"{name}: {ms:.0f} ms" for ms, name in slow[:-6:-1])
        raise FailedError(
            f"{len(slow)} kinds of statements take longer than 100 ms on average: {worst}. Their texts: SELECT query"
            " FROM pg_stat_statements WHERE queryid = … in the database postgres"
        )
    return f"{len(collected)} kinds of statements, the slowest {max(collected.values()):.1f} ms on average (Prometheus)"


def _by_statistics(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(STATISTICS, {"most": MOST_MS}).fetchone()
    kinds, calls, slowest, slow = row or (0, 0, None, None)
    if slow:
        raise FailedError(f"{len(slow)} kinds of statements take longer than 100 ms on average: {'; '.join(slow[:5])}")
    if not kinds:
        raise FailedError("pg_stat_statements knows no statement of the application: does anybody use it?")
    return f"{calls} runs of {kinds} kinds of statements, the slowest kind {slowest:.1f} ms on average"


def _by_running(ground: Ground) -> str:
    took = {}
    for name, (principal, statement) in STATEMENTS.items():
        with ground.connection(principal) as connection, connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '5s'")
            for _ in range(2):  # the first warms the cache
                row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}").fetchone()
            assert row is not None  # noqa: S101
            took[name] = row[0][0]["Planning Time"] + row[0][0]["Execution Time"]
    slow = [f"{name} {ms:.0f} ms" for name, ms in took.items() if ms > MOST_MS]
    if slow:
        raise FailedError(f"longer than 100 ms: {', '.join(slow)}; run ANALYZE, then look at EXPLAIN ANALYZE of them")
    return "EXPLAIN ANALYZE: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in took.items())
