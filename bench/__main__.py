"""``make bench``: list, get, search and create with everything on, beside a bare answer and a bare query.

Everything is one run through the same server processes, so that the machine's noise meets all alike.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request

from bench import live, pages
from bench.clinic import Clinic, clinic
from bench.load import CONNECTIONS, Load, run

SECONDS = 8
PATIENTS, RECORDS = 1_000, 10_000
LIST_FLOOR = 900.0  # requests/s
LIST_SHARE = 0.25  # of the bare query


def main() -> int:
    print(f"{PATIENTS} patients, {RECORDS} records, {CONNECTIONS} connections, {SECONDS} s each", flush=True)
    with clinic(patients=PATIENTS, records=RECORDS, app="bench.app:app") as running:
        token = running.tokens["doctor"]
        page = json.loads(_get(f"{running.url}/api/medical-records?limit=20", token))["data"]
        record_id, patient_id = page[0]["id"], page[0]["patientId"]
        cases: dict[str, dict[str, object]] = {
            "hello": {"url": "/bench/hello"},
            "bare query (SELECT 1)": {"url": "/bench/select"},
            "bare query (the page)": {"url": "/bench/page"},
            "list": {"url": "/api/medical-records?limit=20", "token": token},
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
        results: dict[str, Load] = {}
        for name, case in cases.items():
            address = f"{running.url}{case['url']}"
            run(address, seconds=1, **{k: v for k, v in case.items() if k != "url"})  # type: ignore[arg-type]
            results[name] = run(address, seconds=SECONDS, **{k: v for k, v in case.items() if k != "url"})  # type: ignore[arg-type]
            _print(name, results)
        seconds = _drained(running)
        written = running.sealed() - before
        print(f"events sealed during the run: {written}; outbox empty {seconds:.1f} s after the last request")
        pages_within = pages.measure(running)
        live_within = live.measure(running)
    errors = sum(result.errors for result in results.values())
    rate, share = results["list"].per_second, results["list"].per_second / results["bare query (the page)"].per_second
    print(
        f"list: {rate:.0f}/s (floor {LIST_FLOOR:.0f}), {share:.0%} of the bare query (floor {LIST_SHARE:.0%}); "
        f"errors {errors}"
    )
    return 0 if errors == 0 and rate >= LIST_FLOOR and share >= LIST_SHARE and pages_within and live_within else 1


def _get(url: str, token: str) -> bytes:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def _print(name: str, results: dict[str, Load]) -> None:
    result, query = results[name], results.get("bare query (the page)")
    share = f"{result.per_second / query.per_second:6.0%} of the bare query" if query else ""
    print(
        f"{name:24} {result.per_second:8.0f}/s  p50 {result.median_ms:6.1f} ms  p99 {result.p99_ms:6.1f} ms"
        f"  errors {result.errors}  {share}",
        flush=True,
    )


def _drained(running: Clinic) -> float:
    started = time.monotonic()
    while running.outbox() and time.monotonic() - started < 120:
        time.sleep(0.2)
    if running.outbox():
        raise RuntimeError("the outbox is not empty two minutes after the last request")
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
