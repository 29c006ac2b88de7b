"""The result of one run: what is written for `sigilo preflight` and read by people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from load.ledger import Asked, Figures, Ledger, figures
from load.people import Person

PROBLEMS_MOST = 20
FORMS = (": search", ": draft", ": check a field")  # that are answered with a part of the page


def group_of(asked: Asked) -> str:
    """What a kind of request is compared as: few groups with many requests each."""
    kind = asked.kind
    if kind in ("static file", "sign in", "live: anything new?"):
        return kind
    if kind.startswith("live:"):
        return "live parts"
    if asked.role == "integrator":
        return "api"
    return "forms" if asked.status == 204 or kind.endswith(FORMS) else "pages"


def shown(of: Figures) -> dict[str, Any]:
    return {
        "count": of.count,
        "errors": of.errors,
        **{f"p{share}": round(ms, 1) for share, ms in of.percentiles.items()},
        "slowest": round(of.slowest_ms, 1),
    }


def requests(ledger: Ledger, people: Sequence[Person], seconds: float) -> dict[str, Any]:
    """The part of the result that is about requests."""
    groups: dict[str, list[Asked]] = {}
    for each in ledger.asked:
        groups.setdefault(group_of(each), []).append(each)
    return {
        "users": len(people),
        "roles": dict(sorted(Counter(person.role for person in people).items())),
        "seconds": round(seconds, 1),
        "requests": len(ledger.asked),
        "per_second": round(len(ledger.asked) / seconds, 1),
        "errors": ledger.errors,
        "problems": [f"{text} ({count} times)" for text, count in ledger.problems()[:PROBLEMS_MOST]],
        "groups": {name: shown(figures(groups[name])) for name in sorted(groups)},
        "kinds": {kind: shown(of) for kind, of in ledger.by_kind().items()},
    }


def table(result: dict[str, Any]) -> Iterator[str]:
    """Lines for a terminal."""
    heads = f"{'p50 ms':>8} {'p90':>7} {'p95':>7} {'p99':>7} {'slowest':>8}"
    yield f"{'kind of request':36} {'count':>7} {'errors':>6} {heads}"
    for part in ("kinds", "groups"):
        for name, of in result[part].items():
            yield (
                f"{name:36} {of['count']:7} {of['errors']:6} {of['p50']:8.1f} {of['p90']:7.1f} {of['p95']:7.1f} "
                f"{of['p99']:7.1f} {of['slowest']:8.1f}"
            )
        yield ""
    yield (
        f"{result['requests']} requests of {result['users']} people in {result['seconds']:.0f} s, "
        f"{result['per_second']}/s; errors {result['errors']}"
    )
    yield from (f"  {problem}" for problem in result["problems"])
    trail = result["trail"]
    yield (
        f"trail: {trail['acts']} acts, each told exactly once, in {trail['events']} events; sealed "
        f"{trail['sealed_after_seconds']} s after the last answer"
        if not trail["problems"]
        else f"trail: {'; '.join(trail['problems'])}"
    )
    yield f"{'process':28} {'cores':>6} {'MiB':>7}"
    for name, of in result["processes"].items():
        yield f"{name:28} {of['cores']:6.2f} {of['mib']:7.0f}"
    statements = result["statements"]
    yield (
        f"database: about {statements['per_second']}/s statements, busy {statements['busy_ms_per_second']:.0f} ms a "
        f"second; slowest {statements['slowest_ms']} ms, {statements['over_100_ms']} of 100 ms or longer"
    )
    for each in statements["most"]:
        yield f"  {each['mean_ms']:8.2f} ms × {each['runs']:6}  max {each['slowest_ms']:7.1f}  {each['text'][:90]}"
