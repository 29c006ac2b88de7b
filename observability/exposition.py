"""All numbers of a server's processes, written as the scraper asks for them.

With ``PROMETHEUS_MULTIPROC_DIR`` set the processes of one server share their numbers through files there: what an ended
process counted stays counted, and what it was at (gauges that are ``live…``) goes with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each counter, and none where a folder is shared
Change = Callable[[Iterable[Metric]], Iterable[Metric]]


class _Collected(Collector):
    """Families that were collected already, as the encoders take them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def render(
    accept: str,
    *registries: CollectorRegistry,
    more: Iterable[Metric] = (),
    change: Change = lambda families: families,
) -> tuple[bytes, str]:
    """Body and content type for a scraper that sent ``accept``: OpenMetrics where it names it, which alone has
    exemplars, else Prometheus' text. ``registries`` beside the library's own one count where no folder is shared;
    ``more`` was read just now; ``change`` has a last look at what was counted."""
    counted: list[Metric] = []
    folder = os.environ.get(FOLDER)
    if folder:
        forget_dead_processes(Path(folder))
        counted += MultiProcessCollector(None, path=folder).collect()  # type: ignore[no-untyped-call]
    else:
        for registry in (REGISTRY, *registries):
            counted += registry.collect()
    encode, content_type = choose_encoder(accept)
    return encode(_Collected(chain(more, change(counted)))), content_type


def forget_dead_processes(folder: Path) -> None:
    """Drop the live gauges of processes that ended: neither server has an exit hook that a kill would leave."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = file.stem.rsplit("_", 1)[-1]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with suppress(FileNotFoundError):  # somebody else was scraped at the same moment
                mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]
