"""What became of the tests that docs/conformance/ names: kept after every run, and looked at when all tests ran.

A run of everything (``make test``, ``make coverage``) fails when a test that a claim rests on did not pass in it, be it
that it is gone or was skipped. What runs besides (``make drill``, ``make image``, one file) only remembers what it saw,
in pytest's cache, for ``scripts/conformance`` to take from there.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conformance.rows import TEST, digest, named, read_claims

KEPT = "sigilo/conformance"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class Outcomes:
    """Lives in the process that was started, not in xdist's workers, which send it their reports."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.of_cases: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The worst of set-up, call and tear-down; what was expected to fail has not passed."""
        outcome = SKIPPED if hasattr(report, "wasxfail") else report.outcome
        before = self.of_cases.get(report.nodeid, PASSED)
        self.of_cases[report.nodeid] = before if before != PASSED else outcome

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        seen = by_test(self.of_cases)
        self._keep(seen)
        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if not (ended and is_everything(session.config)):
            return
        if missing := unproven(seen, named(read_claims(), TEST)):
            # As an error of its own, so that the summary line says it too.
            self.config.hook.pytest_runtest_logreport(report=_error(missing))
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _keep(self, seen: dict[str, tuple[str, int]]) -> None:
        cache = getattr(self.config, "cache", None)
        if cache is None:
            return
        claims = read_claims()
        wanted = {node for claim in claims for node in claim.tests} & set(seen)
        now = datetime.now(UTC).strftime("%Y-%m-%d")
        kept: dict[str, Any] = cache.get(KEPT, {})
        for node in wanted:
            outcome, cases = seen[node]
            kept[node] = {"outcome": outcome, "cases": cases, "day": now, "digest": digest(node)}
        cache.set(KEPT, kept)


def by_test(of_cases: dict[str, str]) -> dict[str, tuple[str, int]]:
    """Node id without its case → the worst outcome of its cases, and how many there were."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for node, outcome in of_cases.items():
        found[node.partition("[")[0]].append(outcome)
    order = (FAILED, SKIPPED, PASSED)
    return {node: (min(outcomes, key=order.index), len(outcomes)) for node, outcomes in found.items()}


def unproven(seen: dict[str, tuple[str, int]], wanted: set[str]) -> dict[str, str]:
    """Node id → why a claim that rests on it has no evidence."""
    outcomes = {node: seen.get(node, ("did not run", 0))[0] for node in sorted(wanted)}
    return {node: outcome for node, outcome in outcomes.items() if outcome != PASSED}


def is_everything(config: pytest.Config) -> bool:
    """Whether no test was left out by how pytest was called."""
    option = config.option
    narrowed = ("keyword", "markexpr", "lf", "deselect", "ignore", "ignore_glob", "stepwise", "collectonly")
    asked_for_all = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return asked_for_all and not any(getattr(option, name, None) for name in narrowed)


def _error(missing: dict[str, str]) -> pytest.TestReport:
    lines = "\n".join(f"  {node}: {outcome}" for node, outcome in missing.items())
    text = f"docs/conformance.md claims what these tests have not shown in this run:\n{lines}"
    return pytest.TestReport(
        nodeid="docs/conformance.md", location=("docs/conformance.md", 0, "docs/conformance.md"), keywords={},
        outcome="failed", longrepr=text, when="setup",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(config), "conformance")
