"""docs/conformance.md: row, claim, the tests that show it, and how they ended when they ran last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.conformance.outcomes import PASSED
from tests.conformance.rows import FOLDER, ROOT, TEST, Claim, digest

PAGE = ROOT / "docs" / "conformance.md"
RESULTS = FOLDER / "results.json"
HEAD = """\
# What was asked for, and what shows it

Written by `scripts/conformance` from [docs/conformance/](conformance/); do not edit. Rows 1–32 are those of the
analysis that Sigilo began as, M1–M13 those of the product's map, in our own words. Each is split into claims that a
test can contradict, and each claim names the tests that show it. `make test` fails when one of them did not pass, was
skipped or is gone. What takes too long for it has a verb of its own, named beside the result; once its test was
changed, that result fails the build until the verb ran again. **Open** is what is not there, or not as it was asked
for, and why; it fails nothing, so read it.
"""
WHOSE = {"1": "Rows of the original analysis", "M1": "Rows of the product's map"}


def read_results() -> dict[str, dict[str, Any]]:
    """Node id → outcome, cases, day and digest of the text, as ``scripts/conformance`` took them from a run."""
    found: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    return found


def missing_evidence(claims: list[Claim], results: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Node id → why ``results`` speak against it. What ``make test`` runs is looked at when that ends (outcomes.py);
    what another verb shows is open while no run of it was taken down. So here it is enough that nobody saw it fail."""
    found = {}
    for claim in claims:
        for node in claim.evidence:
            result = results.get(node)
            if result is None:
                continue
            if result["outcome"] != PASSED:
                found[node] = result["outcome"]
            elif claim.tests and claim.verb != TEST and result["digest"] != digest(node):
                found[node] = f"was changed since it passed: `scripts/conformance {claim.verb}`"
    return found


def page(rows: dict[str, str], claims: list[Claim], results: dict[str, dict[str, Any]]) -> str:
    """The text. Every claim's evidence is there (``missing_evidence``)."""
    return "\n".join((HEAD, _counts(rows, claims, results), *_tables(rows, claims, results))) + "\n"


def why_open(claim: Claim, results: dict[str, dict[str, Any]]) -> str:
    """Why nothing shows ``claim`` yet; empty when something does, or ``make test`` will."""
    if claim.verb != TEST and not claim.open and not set(claim.evidence) <= set(results):
        return f"no run of `make {claim.verb}` was taken down yet"
    return claim.open


def _counts(rows: dict[str, str], claims: list[Claim], results: dict[str, dict[str, Any]]) -> str:
    order = list(rows)
    open_ = [claim for claim in claims if why_open(claim, results)]
    open_.sort(key=lambda claim: order.index(claim.rows[0]))
    tests = {node for claim in claims for node in claim.tests}
    lines = [
        f"{len(rows)} rows, {len(claims)} claims: {len(claims) - len(open_)} shown, by {len(tests)} tests and some by",
        f"documents or verbs; {len(open_)} open.",
        "",
        "## What is open",
        "",
        "| Rows | What | Why |",
        "|---|---|---|",
        *(f"| {', '.join(claim.rows)} | {claim.says} | {why_open(claim, results)} |" for claim in open_),
        "",
    ]
    return "\n".join(lines)


def _tables(rows: dict[str, str], claims: list[Claim], results: dict[str, dict[str, Any]]) -> Iterator[str]:
    for row, asked in rows.items():
        if row in WHOSE:
            yield f"## {WHOSE[row]}\n"
        yield f"### {row}. {asked}\n"
        yield "| Claim | Shown by | Result |\n|---|---|---|"
        for claim in claims:
            if row in claim.rows:
                yield f"| {claim.says} | {'<br>'.join(_evidence(claim)) or '–'} | {_result(claim, results)} |"
        yield ""


def _evidence(claim: Claim) -> Iterator[str]:
    for node in claim.tests:
        file, _, name = node.partition("::")
        yield f"[{name.removeprefix('test_').replace('_', ' ')}](../{file})"
    for document in claim.documents:
        yield f"[{document.partition('#')[0]}]({_relative(document)})"


def _result(claim: Claim, results: dict[str, dict[str, Any]]) -> str:
    if why := why_open(claim, results):
        return f"**open**: {why}"
    if not claim.evidence:
        return "written"
    if not set(claim.evidence) <= set(results):
        return "not taken down yet"
    cases = sum(results[node]["cases"] for node in claim.evidence)
    counted = f"passed ({cases} cases)" if cases > len(claim.evidence) else PASSED
    if claim.verb == TEST:
        return counted
    return f"{counted}, `make {claim.verb}`, {min(results[node]['day'] for node in claim.evidence)}"


def _relative(document: str) -> str:
    return document.removeprefix("docs/") if document.startswith("docs/") else f"../{document}"
