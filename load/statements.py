"""Which statements the database spent its time with: a share of all, and every one that took 100 ms, from its own log.

The wheel's PostgreSQL has no pg_stat_statements. Parameters are logged too: the clinic is made up and its folder gone
afterwards. A statement's time is that of reading, planning (bind) and running it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from config import Principal

SHARE = 0.05
SLOW_MS = 100
MOST_SHOWN = 12
MOST_PLANS = 6
BEGIN = "@@sigilo "
SETTINGS = {
    "log_min_duration_statement": f"'{SLOW_MS}ms'", "log_min_duration_sample": "0",
    "log_statement_sample_rate": str(SHARE), "log_parameter_max_length": "-1", "log_error_verbosity": "'default'",
    "log_line_prefix": f"'{BEGIN}%u '",
}  # fmt: skip
ENTRY = re.compile(
    r"^(?P<role>\S+) LOG:  duration: (?P<ms>[\d.]+) ms  (?P<step>parse|bind|execute|statement)[^:]*: (?P<text>.*)\Z",
    re.DOTALL,
)
DETAIL = re.compile(r"^(?P<role>\S*) ?DETAIL:  [Pp]arameters: (?P<given>.*)\Z", re.DOTALL)
GIVEN = re.compile(r"\$\d+ = (NULL|'(?:[^']|'')*')")
NOT_OURS = ("BEGIN", "COMMIT", "ROLLBACK", "DEALLOCATE", "SET ", "SHOW ")
OURS = {principal.role for principal in Principal}
ROLES = ("sigilo_staff", "sigilo_anonymous", "sigilo_worker", "sigilo_auditor")  # a patient's rows need their context


@dataclass
class Statement:
    """``ms``: of all samples together; ``example``: parameters of the slowest run, as SQL has them."""

    text: str
    role: str
    runs: int = 0
    ms: float = 0.0
    slowest_ms: float = 0.0
    slow_runs: int = 0  # of all runs, not of a sample
    example: list[str] = field(default_factory=list)


def begin_sampling(connection: psycopg.Connection[Any]) -> None:
    """As superuser, in autocommit."""
    for name, value in SETTINGS.items():
        connection.execute(f"ALTER SYSTEM SET {name} = {value}")
    connection.execute("SELECT pg_reload_conf()")


def end_sampling(connection: psycopg.Connection[Any]) -> None:
    for name in SETTINGS:
        connection.execute(f"ALTER SYSTEM RESET {name}")
    connection.execute("SELECT pg_reload_conf()")


def read_samples(log: Path) -> list[Statement]:
    """Statements of the application, those first that the database spent most time with."""
    found: dict[str, Statement] = {}
    running: defaultdict[str, float] = defaultdict(float)
    last: Statement | None = None
    for entry in _entries(log):
        detail, read = DETAIL.match(entry), ENTRY.match(entry)
        if detail is not None and last is not None and not last.example:
            last.example = GIVEN.findall(detail["given"])
        if read is None or read["role"] not in OURS or read["text"].lstrip().startswith(NOT_OURS):
            continue
        text, ms = " ".join(read["text"].split()), float(read["ms"])
        last = found.setdefault(text, Statement(text, read["role"]))
        last.ms += ms
        if read["step"] in ("execute", "statement"):
            last.runs += 1
            last.slow_runs += ms >= SLOW_MS
            if ms > last.slowest_ms:
                last.slowest_ms, last.example = ms, []
        running[text] += ms
    return sorted(found.values(), key=lambda each: -each.ms)


def _entries(log: Path) -> Iterator[str]:
    text = log.read_text(errors="replace")
    yield from (part.rstrip("\n") for part in text.split(BEGIN)[1:])


def summary(statements: list[Statement], seconds: float) -> dict[str, Any]:
    """For the result: estimates of all from the share; exactly, how many took 100 ms that somebody waits for."""
    awaited = [each for each in statements if each.role != Principal.WORKER.role]
    return {
        "share": SHARE,
        "sampled": sum(each.runs for each in statements),
        "per_second": round(sum(each.runs for each in statements) / SHARE / seconds, 1),
        "busy_ms_per_second": round(sum(each.ms for each in statements) / SHARE / seconds, 1),
        "slowest_ms": round(max((each.slowest_ms for each in awaited), default=0.0), 1),
        "over_100_ms": sum(each.slow_runs for each in awaited),
        "slowest_of_workers_ms": round(max((each.slowest_ms for each in statements), default=0.0), 1),
        "most": [
            {
                "role": each.role, "text": each.text[:160], "runs": each.runs,
                "mean_ms": round(each.ms / max(1, each.runs), 2), "slowest_ms": round(each.slowest_ms, 1),
            }
            for each in statements[:MOST_SHOWN]
        ],
    }  # fmt: skip


def explain(connection: psycopg.Connection[Any], statements: list[Statement]) -> Iterator[str]:
    """How the database runs the slowest statements, as it did for the slowest parameters that were seen: each is run
    once more and rolled back. ``connection``: a superuser's, in autocommit."""
    slowest = sorted((each for each in statements if each.role in ROLES), key=lambda each: -each.slowest_ms)
    for each in slowest[:MOST_PLANS]:
        yield f"-- {each.role}, {each.slowest_ms:.1f} ms at most\n-- {each.text}"
        values = f"({', '.join(each.example)})" if each.example else ""
        try:
            with connection.transaction(force_rollback=True):
                connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")  # models/engine.py
                connection.execute(f"SET LOCAL ROLE {each.role}")
                connection.execute(f"PREPARE measured AS {each.text}".encode())
                rows = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, SETTINGS) EXECUTE measured{values}".encode())
                yield "\n".join(row[0] for row in rows)
        except psycopg.Error as error:
            yield f"no plan: {str(error).splitlines()[0]}"
        finally:
            connection.execute("DEALLOCATE ALL")
