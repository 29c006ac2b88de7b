"""What everybody asked, what came of it, and how long it took."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and its whole answer; ``status`` 0 where none came. ``ms``: from its first byte to the answer's last.
    ``act``: the action that the trail has to hold exactly once for it, if any; ``problem``: why the answer was not the
    expected one."""

    kind: str
    role: str
    status: int
    ms: float
    request_id: str
    act: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one kind of request: how many, how many with a problem, percentiles in ms, and the slowest."""

    count: int
    errors: int
    percentiles: dict[int, float]
    slowest_ms: float


@dataclass
class Ledger:
    """Filled by everybody at once, in one thread."""

    asked: list[Asked] = field(default_factory=list)

    def note(self, each: Asked) -> None:
        self.asked.append(each)

    @property
    def errors(self) -> int:
        return sum(each.problem is not None for each in self.asked)

    def problems(self) -> list[tuple[str, int]]:
        """Each problem with how often it was met, the most frequent first."""
        return Counter(f"{each.kind}: {each.problem}" for each in self.asked if each.problem).most_common()

    def by_kind(self) -> dict[str, Figures]:
        """Figures of every kind, in alphabetical order."""
        kinds: defaultdict[str, list[Asked]] = defaultdict(list)
        for each in self.asked:
            kinds[each.kind].append(each)
        return {kind: figures(kinds[kind]) for kind in sorted(kinds)}


def figures(asked: list[Asked]) -> Figures:
    """Of at least one request."""
    ordered = sorted(each.ms for each in asked)
    return Figures(
        len(asked),
        sum(each.problem is not None for each in asked),
        {share: ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in PERCENTILES},
        ordered[-1],
    )
