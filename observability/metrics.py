"""What is counted for Prometheus beside requests: refusals by quota, sign-ins, masks applied.

Labels are from closed lists: never an id, an address or a path. With ``PROMETHEUS_MULTIPROC_DIR`` set the
processes of one server share their numbers through files there.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

RATE_LIMITED = Counter("sigilo_rate_limited_total", "Requests refused by a quota", ["bucket"])
LOGINS = Counter("sigilo_logins_total", "Attempts to sign in", ["outcome"])
REFUSALS = Counter("sigilo_refusals_total", "Requests refused for want of a right", ["reason"])
MASKS = Counter("sigilo_masked_answers_total", "Answers about one record or patient that its reader sees masked")
QUOTA_DEGRADED = Gauge(
    "sigilo_quota_degraded",
    "1 while processes count quotas by themselves, Redis being away",
    multiprocess_mode="livemax",
)

DEAD_LETTERS = Gauge(
    "sigilo_dead_letters_open",
    "Background work that failed for good and that nobody dealt with; NaN while the database does not say",
    multiprocess_mode="mostrecent",
)


def render(*registries: CollectorRegistry) -> bytes:
    """All metrics in Prometheus' text format; of every process when they share a folder."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        forget_dead_processes(Path(folder))
        shared = CollectorRegistry()
        MultiProcessCollector(shared, path=folder)  # type: ignore[no-untyped-call]
        return generate_latest(shared)
    return b"".join(generate_latest(registry) for registry in (REGISTRY, *registries))


def forget_dead_processes(folder: Path) -> None:
    """Drop the live gauges of processes that ended: the web server has no exit hook to do so."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = file.stem.rsplit("_", 1)[-1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]
