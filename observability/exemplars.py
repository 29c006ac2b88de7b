"""An exemplar for each bucket of the request histogram: the newest traced request that fell into it.

prometheus_client keeps none where processes share their numbers through files, so each process keeps its own, and shows
them when it is the one that answers the scraper. Processes take turns at that.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]


class Exemplars:
    """Those of one histogram ``name`` with ``labels`` and ``buckets`` (upper bounds, ascending)."""

    def __init__(self, name: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        self._name = name
        self._labels = labels
        self._buckets = buckets
        self._bounds = [*map(floatToGoString, buckets), "+Inf"]
        self._newest: dict[tuple[Labels, str], Exemplar] = {}  # bounded: as many as the histogram has buckets

    def note(self, labels: Labels, value: float, trace_id: str) -> None:
        bound = self._bounds[bisect_left(self._buckets, value)]
        self._newest[labels, bound] = Exemplar({"trace_id": trace_id}, value, time.time())

    def added_to(self, families: Iterable[Metric]) -> Iterator[Metric]:
        """``families`` with the exemplars at their buckets."""
        for family in families:
            if family.name == self._name and self._newest:
                family.samples = [
                    sample._replace(exemplar=self._newest.get((self._labels_of(sample.labels), sample.labels["le"])))
                    if sample.name.endswith("_bucket")
                    else sample
                    for sample in family.samples
                ]
            yield family

    def _labels_of(self, labels: dict[str, str]) -> Labels:
        return tuple(labels[name] for name in self._labels)
