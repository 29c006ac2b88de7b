"""docs/conformance.md covers every row, names tests that exist and run, and is what its sources say."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conformance.outcomes import FAILED, PASSED, SKIPPED, by_test, unproven
from tests.conformance.page import PAGE, missing_evidence, page, read_results, why_open
from tests.conformance.rows import ROOT, TEST, Claim, digest, function, named, read_claims, read_rows, runs

pytest_plugins = ["pytester"]

ROWS = read_rows()
CLAIMS = read_claims()
ORIGINALS_SECURITY_TESTS = 54


def test_every_row_of_the_analysis_and_of_the_map_is_there() -> None:
    assert list(ROWS) == [*(str(number) for number in range(1, 33)), *(f"M{number}" for number in range(1, 14))]
    claimed = {row for claim in CLAIMS for row in claim.rows}
    assert claimed <= set(ROWS), "claims for rows that are none"
    assert set(ROWS) - claimed == set(), "rows that nothing is said of"


def test_no_row_is_without_evidence() -> None:
    """What is open of a row is said beside what is shown of it, and is not all there is. Of costs it is a document."""
    results = read_results()
    shown = {row for claim in CLAIMS if not why_open(claim, results) for row in claim.rows}
    assert set(ROWS) - shown == set()


def test_a_claim_is_shown_or_open_and_said_once() -> None:
    for claim in CLAIMS:
        shown = bool(claim.evidence or claim.documents)
        assert shown is not bool(claim.open), f"{claim.file}: {claim.says}: what shows it, or why it is open"
        assert "|" not in claim.says + claim.open, "a bar would end the cell of the table"
    assert len({claim.says for claim in CLAIMS}) == len(CLAIMS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.file}-{claim.rows[0]}")
def test_what_a_claim_names_is_there_and_runs(claim: Claim) -> None:
    for node in claim.tests:
        found = function(node)
        assert found is not None, f"{node} is no test"
        assert runs(claim.verb, node.partition("::")[0]), f"`make {claim.verb}` does not run {node}"
        decorated = " ".join(ast.unparse(each) for each in found.decorator_list)
        assert not re.search(r"\b(skip|skipif|xfail)\b", decorated), f"{node} may be skipped"
        # Data that is not everywhere: the test is skipped where it is missing.
        assert "shared_data" not in [argument.arg for argument in found.args.args], node
    if claim.verb != TEST:
        assert re.search(rf"^{re.escape(claim.verb)}:", (ROOT / "Makefile").read_text(), re.MULTILINE), claim.verb


def test_the_page_is_what_rows_claims_and_results_say() -> None:
    results = read_results()
    assert missing_evidence(CLAIMS, results) == {}
    assert PAGE.read_text(encoding="utf-8") == page(ROWS, CLAIMS, results), "run scripts/conformance, and commit"


def test_there_are_more_security_tests_than_the_original_had() -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    names = re.findall(r"^def (test_security_\d\w+)", "\n".join(texts), re.MULTILINE)
    assert len(set(names)) > 2 * ORIGINALS_SECURITY_TESTS


def test_the_worst_case_of_a_test_counts() -> None:
    cases = {"a.py::test_x[1]": PASSED, "a.py::test_x[2]": FAILED, "a.py::test_y": PASSED, "a.py::test_z[é]": SKIPPED}
    assert by_test(cases) == {
        "a.py::test_x": (FAILED, 2), "a.py::test_y": (PASSED, 1), "a.py::test_z": (SKIPPED, 1),
    }  # fmt: skip


def test_what_failed_was_skipped_or_did_not_run_is_no_evidence() -> None:
    seen = {"a": (PASSED, 1), "b": (FAILED, 1), "c": (SKIPPED, 1)}
    assert unproven(seen, {"a", "b", "c", "d"}) == {"b": FAILED, "c": SKIPPED, "d": "did not run"}


def test_evidence_that_is_missing_failed_or_older_than_its_test_is_named() -> None:
    node = "tests/conformance/test_conformance.py::test_the_worst_case_of_a_test_counts"
    good = {"outcome": PASSED, "cases": 1, "day": "2026-11-26", "digest": digest(node)}
    slow = Claim(file="x", rows=("1",), says="x", tests=(node,), verb="drill")
    assert missing_evidence([slow], {node: good}) == {}
    assert missing_evidence([slow], {}) == {}
    assert "make drill" in why_open(slow, {}), "nothing shows it, and the page says so"
    assert why_open(slow, {node: good}) == ""
    assert missing_evidence([slow], {node: {**good, "outcome": SKIPPED}}) == {node: SKIPPED}
    assert "was changed" in missing_evidence([slow], {node: {**good, "digest": "0"}})[node]
    quick = Claim(file="x", rows=("1",), says="x", tests=(node,))
    assert missing_evidence([quick], {}) == {}, "the run that goes on shows it"
    assert missing_evidence([quick], {node: {**good, "outcome": SKIPPED}}) == {node: SKIPPED}
    verb = Claim(file="x", rows=("1",), says="x", verb="lint")
    assert why_open(verb, {"make lint": good}) == ""
    assert missing_evidence([verb], {"make lint": {**good, "outcome": FAILED}}) == {"make lint": FAILED}
    assert named([slow, verb], "drill") == {node}


def test_a_run_of_everything_that_lacks_a_claimed_test_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook itself, in a run of its own with xdist: the summary line says an error, and so does the exit code."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\ntestpaths = checks\n")
    pytester.mkdir("checks").joinpath("test_a.py").write_text("def test_here(): pass\n")
    pytester.makeconftest(
        """
        import tests.conformance.outcomes as outcomes
        from tests.conformance.outcomes import pytest_configure
        outcomes.named = lambda claims, verb: {"checks/test_a.py::test_here", "checks/test_a.py::test_gone"}
        """
    )
    whole = pytester.runpytest_subprocess("--numprocesses", "1")
    whole.assert_outcomes(passed=1, errors=1)
    whole.stdout.fnmatch_lines(["*checks/test_a.py::test_gone: did not run*"])
    assert whole.ret == pytest.ExitCode.TESTS_FAILED
    narrowed = pytester.runpytest_subprocess("-p", "no:xdist", "checks/test_a.py")
    narrowed.assert_outcomes(passed=1)
    assert narrowed.ret == pytest.ExitCode.OK
