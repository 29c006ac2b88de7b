"""What a list costs in processor time, by who spends it: with callers that are remembered, with callers that are looked
up each time, and beside the bare query of the same page; in the same server processes, in turns.

Requests per second depend on what else the machine does; processor time per request hardly does. Run with
``make bench`` beside the other figures, or alone: ``python -m bench.cost``.
"""

from __future__ import annotations

import statistics
import sys
from collections import Counter

import psutil

from bench.clinic import Clinic, clinic
from bench.load import run

ROUNDS, SECONDS = 6, 4
LIST = "/api/medical-records?limit=20"
REMEMBERED, LOOKED_UP, BARE = LIST, f"/looked-up{LIST}", "/bench/page"
WAYS = {REMEMBERED: "list, callers remembered", LOOKED_UP: "list, callers looked up", BARE: "bare query (the page)"}
DATABASE_ROLES = ("staff", "anonymous", "worker")


def measure(running: Clinic) -> bool:
    """Print microseconds per request; gives whether remembering costs less than looking up."""
    for way in WAYS:
        run(f"{running.url}{way}", seconds=2, token=running.tokens["doctor"])
    spent: dict[str, list[Counter[str]]] = {way: [] for way in WAYS}
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(ROUNDS):
        for way in list(WAYS)[:: 1 if number % 2 else -1]:
            before = _seconds(running.pid)
            load = run(f"{running.url}{way}", seconds=SECONDS, token=running.tokens["doctor"])
            after = _seconds(running.pid)
            requests = load.per_second * SECONDS
            spent[way].append(
                Counter({who: 1e6 * max(0.0, after[who] - before.get(who, 0.0)) / requests for who in after})
            )
            rates[way].append(load.per_second)
    for way, name in WAYS.items():
        who = sorted({each for one in spent[way] for each in one})
        parts = {each: statistics.median(one[each] for one in spent[way]) for each in who}
        print(
            f"{name}: {statistics.median(rates[way]):.0f}/s, µs per request: "
            + ", ".join(f"{each} {parts[each]:.0f}" for each in who),
            flush=True,
        )
    answering = {way: statistics.median(_answering(one) for one in spent[way]) for way in WAYS}
    share = answering[REMEMBERED] / answering[LOOKED_UP]
    print(
        f"to answer a list: {share:.0%} of the processor time that it takes with a look-up; the bare query takes"
        f" {answering[BARE] / answering[REMEMBERED]:.0%} of a list's",
        flush=True,
    )
    return share <= 1.0


def _answering(one: Counter[str]) -> float:
    return one["web"] + one["postgres staff"] + one["postgres anonymous"]


def _seconds(pid: int) -> Counter[str]:
    """Processor seconds so far by kind of process, below the process ``pid``."""
    spent: Counter[str] = Counter()
    for process in psutil.Process(pid).children(recursive=True):
        try:
            words, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent[_kind(words)] += times.user + times.system
    return spent


def _kind(words: str) -> str:
    if words.startswith("postgres: sigilo_"):
        role = words.removeprefix("postgres: sigilo_").split(" ")[0]
        return f"postgres {role}" if role in DATABASE_ROLES else "postgres, others"
    if "postgres" in words:
        return "postgres, others"
    if "redis-server" in words:
        return "redis"
    return "worker" if "celery" in words else "scheduler" if "scheduler" in words else "web"


def main() -> int:
    with clinic(patients=1_000, records=10_000, app="bench.app:app") as running:
        return 0 if measure(running) else 1


if __name__ == "__main__":
    sys.exit(main())
