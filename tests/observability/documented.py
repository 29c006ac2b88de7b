"""What docs/metrics.md says: metrics by name, and the values that a label may have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram|info) \| (.*?) ?\| (.*) \| [\w, ]+ \|$", re.MULTILINE)
VALUES = re.compile(r"^\| `(\w+)`(?: of `(\w+)`)? \| ([\w, -]+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Metric:
    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


def documented_metrics() -> list[Metric]:
    return [
        Metric(name, type_, tuple(re.findall(r"`(\w+)`", labels)), meaning)
        for name, type_, labels, meaning in ROW.findall(PAGE.read_text(encoding="utf-8"))
    ]


def documented_values() -> dict[tuple[str, str], frozenset[str]]:
    """(metric, label) → its values, for every label whose values are listed one by one; the metric is "" where it says
    so of all."""
    return {
        (metric, label): frozenset(values.split(", "))
        for label, metric, values in VALUES.findall(PAGE.read_text(encoding="utf-8"))
    }
