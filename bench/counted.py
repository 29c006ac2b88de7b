"""What instrumentation costs: the list call with what is counted for Prometheus, with traces as well, and with neither.

All are in the same server processes and take turns, several times, so that the machine's noise meets all alike; what
counts is the median of the rounds' ratios. Run with ``make bench`` beside the other figures, or alone:
``python -m bench.counted``.
"""

from __future__ import annotations

import statistics
import sys

from bench.clinic import Clinic, clinic
from bench.collector import collector
from bench.load import run

ROUNDS, SECONDS = 9, 4
RATIO_MIN = 0.90
LIST = "/api/medical-records?limit=20"
WAYS = {"/counted": "metrics", "/traced": "metrics and traces, a tenth sampled,"}
BARE = "/uncounted"


def measure(running: Clinic) -> bool:
    """Print the ratios; gives whether they are within bounds."""
    token = running.tokens["doctor"]
    ways = (BARE, *WAYS)
    for way in ways:
        run(f"{running.url}{way}{LIST}", seconds=1, token=token)
    ratios: dict[str, list[float]] = {way: [] for way in WAYS}
    errors = 0
    for number in range(ROUNDS):
        # Whoever comes last finds the outbox fuller: each way is last in a third of the rounds.
        turn = number % len(ways)
        loads = {
            way: run(f"{running.url}{way}{LIST}", seconds=SECONDS, token=token) for way in (*ways[turn:], *ways[:turn])
        }
        for way, of_way in ratios.items():
            of_way.append(loads[way].per_second / loads[BARE].per_second)
        errors += sum(load.errors for load in loads.values())
    for way, of_way in ratios.items():
        print(
            f"list with {WAYS[way]} {statistics.median(of_way):.1%} of without (floor {RATIO_MIN:.0%}; rounds "
            f"{', '.join(f'{each:.1%}' for each in of_way)}); errors {errors}",
            flush=True,
        )
    return errors == 0 and all(statistics.median(of_way) >= RATIO_MIN for of_way in ratios.values())


def main() -> int:
    with (
        collector() as address,
        clinic(patients=1_000, records=10_000, app="bench.app:app", BENCH_COLLECTOR=address) as running,
    ):
        return 0 if measure(running) else 1


if __name__ == "__main__":
    sys.exit(main())
