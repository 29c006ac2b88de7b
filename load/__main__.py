"""``make load``: a hundred people in mixed roles for five minutes at a clinic with ten thousand records.

The whole installation runs as in production (cookies, quotas and headers included), and this program sits where its
proxy would. LOAD_SECONDS, LOAD_USERS, LOAD_THINK (the longest thought in seconds), LOAD_PATIENTS and LOAD_RECORDS make
it shorter or longer; the result goes to LOAD_RESULT (load-result.json), and how the database ran its slowest
statements beside it (….plans.txt). LOAD_KEEP=1 makes a run without faults the baseline of all later ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from bench.clinic import Clinic, clinic
from config import PRODUCT_VERSION, Settings
from embedded.home import Home
from embedded.installation import running_settings
from embedded.load_baseline import BASELINE, FORMAT, faults, ratios, read_baseline, regressions, whole
from embedded.postgres import PostgresServer
from load import machine, report, statements
from load.crowd import work
from load.ledger import Ledger
from load.people import make_people
from load.room import Room
from load.trail import check_trail

USERS, SECONDS, THINK, PATIENTS, RECORDS = 100, 300, 20, 1_000, 10_000
ARRIVE_SHARE = 0.2  # of the time, in which people come in


def number(name: str, default: int) -> int:
    """A whole number above 0 from the environment. Raises ValueError."""
    text = os.environ.get(name, str(default))
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{name} is a whole number above 0")
    return int(text)


def main() -> int:
    try:
        users, seconds = number("LOAD_USERS", USERS), number("LOAD_SECONDS", SECONDS)
        think = number("LOAD_THINK", THINK)
        patients, records = number("LOAD_PATIENTS", PATIENTS), number("LOAD_RECORDS", RECORDS)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    path = Path(os.environ.get("LOAD_RESULT", "load-result.json"))
    print(f"{users} users, {seconds} s, {patients} patients, {records} records", flush=True)
    with clinic(
        patients=patients, records=records, app="load.app:app", with_tokens=False, SIGILO_ENV="production",
        TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT_PAGES="240/minute",
    ) as running:  # fmt: skip
        os.environ["SIGILO_HOME"] = str(running.home)
        settings = running_settings()
        result = measure(running, settings, users=users, seconds=seconds, think=think, plans=path)
    result |= {"patients": patients, "records": records}
    path.write_text(text_of(result), encoding="utf-8")
    for line in report.table(result):
        print(line)
    print(f"result: {path}")
    return verdict(result)


def text_of(result: dict[str, Any]) -> str:
    return json.dumps(result, indent=1, ensure_ascii=False) + "\n"


def measure(
    running: Clinic, settings: Settings, *, users: int, seconds: int, think: int, plans: Path
) -> dict[str, Any]:
    """One run: see docs/baseline.md for what its figures say."""
    people, names = make_people(settings, users)
    room, ledger, home = Room(people, names, think), Ledger(), Home(running.home)
    with psycopg.connect(running.superuser_url, autocommit=True) as connection:
        connection.execute("ANALYZE")  # the planner knows nothing of the new care teams
        result: dict[str, Any] = {
            "format": FORMAT, "product": PRODUCT_VERSION, "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "think_seconds": [think / 4, think], "machine": machine.describe(),
            "postgres": connection.info.parameter_status("server_version"),
            "hello_per_second": round(machine.hello_per_second(running.url), 1),
        }  # fmt: skip
        statements.begin_sampling(connection)
        before = machine.processor_seconds(home)
        took = asyncio.run(work(running.url, room, ledger, seconds=seconds, arrive_seconds=seconds * ARRIVE_SHARE))
        after, memory = machine.processor_seconds(home), machine.memory_mib(home)
        statements.end_sampling(connection)
        result |= report.requests(ledger, people, took)
        result["processes"] = {
            name: {"cores": round((used - before.get(name, 0.0)) / took, 3), "mib": memory.get(name, 0.0)}
            for name, used in sorted(after.items())
        }
        result["trail"] = check_trail(settings, running.superuser_url, people, ledger)
        found = statements.read_samples(PostgresServer(home).log)
        result["statements"] = statements.summary(found, took)
        text = "\n\n".join(statements.explain(connection, found))
        plans.with_suffix(".plans.txt").write_text(text + "\n", encoding="utf-8")
    return result


def verdict(result: dict[str, Any]) -> int:
    """Say what is wrong, and how it compares with the baseline; a machine that is busy elsewhere fails nothing."""
    wrong = list(faults(result))
    for line in wrong:
        print(f"FAIL {line}")
    keeps = bool(os.environ.get("LOAD_KEEP"))
    for line in whole(result) if keeps else ():
        wrong.append(line)
        print(f"FAIL no baseline: {line}")
    if keeps and not wrong:
        BASELINE.parent.mkdir(exist_ok=True)
        BASELINE.write_text(text_of(result), encoding="utf-8")
        print(f"baseline: {BASELINE}")
    elif BASELINE.exists():
        baseline = read_baseline()
        for name, share, ratio in ratios(result, baseline):
            print(f"{name:24} {share} {ratio:5.2f} times the baseline")
        for line in regressions(result, baseline):
            print(f"note: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
