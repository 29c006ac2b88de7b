"""``make bench``: list, get, search and create with everything on, beside a bare answer and a bare query.

Everything is one run through the same server processes. List and its yardsticks take turns, several times, so that
the machine's noise meets all alike; the share that counts is the median of the rounds.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import urllib.request
from typing import TypedDict

from bench import backup, cleanup, cost, counted, live, pages, trail
from bench.clinic import Clinic, clinic
from bench.collector import collector
from bench.load import CONNECTIONS, Load, run

SECONDS = 8
ROUNDS, ROUND_SECONDS = 5, 4
PATIENTS, RECORDS = 1_000, 10_000
LIST_FLOOR = 900.0  # requests/s
LIST_SHARE = 0.25  # of the bare query


class Case(TypedDict, total=False):
    """One kind of request: a path, and what it sends along."""

    url: str
    token: str
    bodies: list[object]


def main() -> int:
    print(
        f"{PATIENTS} patients, {RECORDS} records, {CONNECTIONS} connections, "
        f"{ROUNDS} rounds of {ROUND_SECONDS} s, else {SECONDS} s",
        flush=True,
    )
    with (
        collector() as address,
        clinic(patients=PATIENTS, records=RECORDS, app="bench.app:app", BENCH_COLLECTOR=address) as running,
    ):
        token = running.tokens["doctor"]
        page = json.loads(_get(f"{running.url}/api/medical-records?limit=20", token))["data"]
        record_id, patient_id = page[0]["id"], page[0]["patientId"]
        turns: dict[str, Case] = {
            "hello": {"url": "/bench/hello"},
            "bare query (SELECT 1)": {"url": "/bench/select"},
            "bare query (the page)": {"url": "/bench/page"},
            "list": {"url": "/api/medical-records?limit=20", "token": token},
        }
        others: dict[str, Case] = {
            "get": {"url": f"/api/medical-records/{record_id}", "token": token},
            "search": {
                "url": "/api/medical-records/search",
                "token": token,
                "bodies": [{"q": "hipertensao", "limit": 20}, {"q": "retorno", "limit": 20}],
            },
            "create": {
                "url": "/api/medical-records",
                "token": token,
                "bodies": [
                    {"patientId": patient_id, "title": "Consulta", "diagnosis": "Hipertensão", "priority": "LOW"}
                ],
            },
        }
        before = running.sealed() + running.outbox()
        for case in turns.values():
            _load(running, case, 1)
        rounds = [
            {name: _load(running, case, ROUND_SECONDS) for name, case in turns.items()} for _ in range(ROUNDS)
        ]
        results = {name: _middle([each[name] for each in rounds]) for name in turns}
        for name, result in results.items():
            _print(name, result, results["bare query (the page)"])
        for name, case in others.items():
            _load(running, case, 1)
            results[name] = _load(running, case, SECONDS)
            _print(name, results[name], results["bare query (the page)"])
        seconds = _drained(running)
        written = running.sealed() - before
        print(f"events sealed during the run: {written}; outbox empty {seconds:.1f} s after the last request")
        cost_within = cost.measure(running)
        counted_within = counted.measure(running)
        pages_within = pages.measure(running)
        live_within = live.measure(running)
        trail_within = trail.measure(running)
        cleanup.measure(running)
    backup_within = backup.measure()
    errors = sum(result.errors for result in results.values())
    shares = [each["list"].per_second / each["bare query (the page)"].per_second for each in rounds]
    rate, share = results["list"].per_second, statistics.median(shares)
    print(
        f"list: {rate:.0f}/s (floor {LIST_FLOOR:.0f}), {share:.1%} of the bare query (floor {LIST_SHARE:.0%}; rounds "
        f"{', '.join(f'{each:.1%}' for each in shares)}); errors {errors}"
    )
    list_within = errors == 0 and rate >= LIST_FLOOR and share >= LIST_SHARE
    within = (list_within, cost_within, counted_within, pages_within, live_within, trail_within, backup_within)
    return 0 if all(within) else 1


def _load(running: Clinic, case: Case, seconds: int) -> Load:
    return run(f"{running.url}{case['url']}", seconds=seconds, token=case.get("token"), bodies=case.get("bodies"))


def _middle(loads: list[Load]) -> Load:
    """The median of each figure; all errors."""
    return Load(
        statistics.median(load.per_second for load in loads),
        statistics.median(load.median_ms for load in loads),
        statistics.median(load.p99_ms for load in loads),
        sum(load.errors for load in loads),
    )


def _get(url: str, token: str) -> bytes:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def _print(name: str, result: Load, query: Load) -> None:
    print(
        f"{name:24} {result.per_second:8.0f}/s  p50 {result.median_ms:6.1f} ms  p99 {result.p99_ms:6.1f} ms"
        f"  errors {result.errors}  {result.per_second / query.per_second:6.0%} of the bare query",
        flush=True,
    )


def _drained(running: Clinic) -> float:
    """Seconds until the outbox was seen empty. Looked at once a turn: the clinic's own jobs write events too."""
    started = time.monotonic()
    while running.outbox():
        if time.monotonic() - started > 120:
            raise RuntimeError("the outbox is not empty two minutes after the last request")
        time.sleep(0.2)
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
