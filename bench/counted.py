"""What instrumentation costs: the list call with what is counted for Prometheus, with traces as well, and with neither.

All are in the same server processes and take turns, so that the machine's noise meets all alike. What counts is the
processor time per answer of the web's processes and the database's, of which throughput is the inverse where processors
are what there is too little of. The rates themselves are printed beside it; they swing with what seals the events of
the rounds before. Run with ``make bench`` beside the other figures, or alone:
``python -m bench.counted``.
"""

from __future__ import annotations

import sys
from collections import Counter

from bench.clinic import Clinic, clinic, processor_seconds
from bench.collector import collector
from bench.load import run

ROUNDS, SECONDS = 15, 3
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
    answers: Counter[str] = Counter()
    processor: Counter[str] = Counter()
    errors = 0
    for number in range(ROUNDS):
        # Whoever comes last finds the outbox fuller: each way is last in a third of the rounds.
        turn = number % len(ways)
        for way in (*ways[turn:], *ways[:turn]):
            before = sum(processor_seconds(running).values())
            load = run(f"{running.url}{way}{LIST}", seconds=SECONDS, token=token)
            processor[way] += sum(processor_seconds(running).values()) - before
            answers[way] += load.per_second * SECONDS
            errors += load.errors
    cost = {way: processor[way] / answers[way] for way in ways}
    for way, name in WAYS.items():
        print(
            f"list with {name} {cost[BARE] / cost[way]:.1%} of without, by processor time an answer (floor "
            f"{RATIO_MIN:.0%}; {cost[way] * 1e3:.2f} and {cost[BARE] * 1e3:.2f} ms); by rates "
            f"{answers[way] / answers[BARE]:.1%}; errors {errors}",
            flush=True,
        )
    return errors == 0 and all(cost[BARE] / cost[way] >= RATIO_MIN for way in WAYS)


def main() -> int:
    with (
        collector() as address,
        clinic(patients=1_000, records=10_000, app="bench.app:app", BENCH_COLLECTOR=address) as running,
    ):
        return 0 if measure(running) else 1


if __name__ == "__main__":
    sys.exit(main())
