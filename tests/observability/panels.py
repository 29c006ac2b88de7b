"""The panels that Grafana is given, read from the generated files as Grafana reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from observability.grafana.generate import GENERATED

# What Grafana puts in the place of its variables. Ranges are as long as what is looked at.
RANGE = "10m"


@dataclass(frozen=True)
class Query:
    """One question of a panel; ``source`` is its data source's type."""

    source: str
    text: str
    is_instant: bool

    @property
    def asked(self) -> str:
        """With all variables filled in: menus have everything chosen."""
        text = re.sub(r"\$__(rate_interval|range|interval|auto)\b", RANGE, self.text)
        text = re.sub(r"\$(rule|instance|act)\b", ".*", text)
        assert "$" not in text.replace('"$1"', ""), f"a variable that this test does not know: {text}"
        return text


@dataclass(frozen=True)
class Panel:
    dashboard: str
    title: str
    queries: tuple[Query, ...]
    given: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.dashboard}: {self.title}"

    @property
    def sources(self) -> set[str]:
        """The types of what answers it."""
        return {query.source for query in self.queries}


def dashboards() -> dict[str, dict[str, Any]]:
    """Every generated dashboard, by its file's name."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(GENERATED.rglob("*.json"))}


def panels() -> Iterator[Panel]:
    for name, dashboard in dashboards().items():
        for given in dashboard["panels"]:
            if given["type"] != "row":
                yield Panel(name, given["title"], tuple(map(_query, given["targets"])), given)


def _query(target: dict[str, Any]) -> Query:
    return Query(target["datasource"]["type"], target.get("expr") or target["query"], bool(target.get("instant")))
