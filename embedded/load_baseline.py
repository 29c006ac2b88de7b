"""Results of ``make load``: what is compared between two of them, and with the one that is kept here.

Machines differ, so times count in bare answers: how many times as long as three bytes from a Flask that does nothing
else took on the same machine just before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

BASELINE = Path(__file__).parent / "data" / "load_baseline.json"
FORMAT = 1
USERS, SECONDS, THINK_SECONDS = 100, 300, 20  # of a run that is kept: as many, as long, and no hurrying robots
SHORTEST_SECONDS = 240  # a result that says something of memory and of what piles up
FEWEST = 50  # requests of a group, below which a percentile says little
RATIO_MAX = 2.0  # of the baseline: rounds on one machine differ by up to half
SHARES = ("p50", "p95")


class LoadResultError(Exception):
    """The file is no result of ``make load``; the text says what to do."""


def read_result(path: Path) -> dict[str, Any]:
    """A result that ``make load`` wrote. Raises LoadResultError."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoadResultError(f"{path}: {error.strerror}") from None
    except ValueError:
        result = None
    if not isinstance(result, dict) or result.get("format") != FORMAT:
        raise LoadResultError(f"{path} is no result of this version's `make load`: run that again")
    return result


def read_baseline() -> dict[str, Any]:
    """The run that is kept with this program. Raises LoadResultError."""
    if not BASELINE.exists():
        raise LoadResultError("no baseline is kept with this program: `LOAD_KEEP=1 make load` makes one")
    return read_result(BASELINE)


def made_at(result: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(result["at"])


def faults(result: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with ``result`` by itself: sentences, none when all is well. A trial of a few people is judged by
    its answers and its trail alone, for it says nothing of how quick a database is."""
    if result["errors"]:
        yield f"{result['errors']} answers were not the expected ones, such as {result['problems'][0]}"
    yield from result["trail"]["problems"]
    over = result["statements"]["over_100_ms"]
    if over and result["users"] >= USERS:
        yield f"{over} statements took 100 ms or longer, up to {result['statements']['slowest_ms']} ms"


def whole(result: Mapping[str, Any]) -> Iterator[str]:
    """Why ``result`` is no baseline: sentences, none when it is one."""
    if result["users"] < USERS or sum(result["roles"].values()) != result["users"]:
        yield f"{sum(result['roles'].values())} people worked, and a baseline has {USERS}"
    if result["seconds"] < SECONDS or result["think_seconds"][1] < THINK_SECONDS:
        yield f"it took {result['seconds']:.0f} s at a haste of {result['think_seconds']}, and a baseline {SECONDS}"
    counted = [sum(group[what] for group in result["groups"].values()) for what in ("count", "errors")]
    if counted != [result["requests"], result["errors"]]:
        yield f"its groups have {counted} requests and errors, and all of it {result['requests']}, {result['errors']}"
    if abs(result["per_second"] * result["seconds"] - result["requests"]) > result["requests"] / 10:
        yield f"{result['requests']} requests are not {result['per_second']} a second"


def regressions(result: Mapping[str, Any], baseline: Mapping[str, Any]) -> Iterator[str]:
    """Where ``result`` says less than ``baseline``, or is slower than it by more than chance."""
    if result["users"] < baseline["users"] or result["seconds"] < SHORTEST_SECONDS:
        yield (
            f"{result['users']} users for {result['seconds']:.0f} s say little:"
            f" at least {baseline['users']} for {SHORTEST_SECONDS} s"
        )
    for name, share, ratio in ratios(result, baseline):
        if ratio > RATIO_MAX:
            yield (
                f"{name} take {ratio:.1f} times as long as in the baseline"
                f" ({share} {result['groups'][name][share]:.0f} ms)"
            )


def ratios(result: Mapping[str, Any], baseline: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """(group, percentile, how many times the baseline's) of every group that both know enough of."""
    for name, was in baseline["groups"].items():
        found = result["groups"].get(name)
        if found is None or min(found["count"], was["count"]) < FEWEST:
            continue
        for share in SHARES:
            now = found[share] * result["hello_per_second"]
            yield name, share, now / (was[share] * baseline["hello_per_second"])
