"""``make load`` itself, with few people and for some seconds; and what its verdict rests on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.load_baseline import BASELINE, LoadResultError, faults, ratios, read_result, regressions, whole
from load.ledger import Asked, Ledger, figures
from load.page_forms import form_values
from load.people import SHARES, shares_of
from load.trail import disagreements
from tests.installation import FOREIGN, ROOT
from tests.load.results import make_result

SECONDS, USERS = 3, 8
SEEN = {"sign in", "live: anything new?", "static file", "start", "records", "own record", "trail", "api: list"}


def test_everybody_works_without_an_error_and_the_trail_tells_each_act_once(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    inherited = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    done = subprocess.run(
        [sys.executable, "-m", "load"], cwd=ROOT, capture_output=True, text=True, timeout=400, check=False,
        env=inherited | {
            "LOAD_USERS": str(USERS), "LOAD_SECONDS": str(SECONDS), "LOAD_THINK": "1", "LOAD_PATIENTS": "120",
            "LOAD_RECORDS": "300", "LOAD_RESULT": str(path),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    result = read_result(path)
    assert result["roles"] == dict.fromkeys(SHARES, 1)
    assert (result["errors"], result["problems"], result["trail"]["problems"]) == (0, [], [])
    assert result["trail"]["acts"] > USERS
    assert set(result["kinds"]) >= SEEN
    assert result["seconds"] >= SECONDS
    for name in ("web", "PostgreSQL", "load generator", "worker of the trail"):
        assert result["processes"][name]["cores"] > 0, name
        assert result["processes"][name]["mib"] > 1, name
    assert result["statements"]["sampled"] > 0
    assert "Execution Time" in path.with_suffix(".plans.txt").read_text()


def test_too_few_users_and_odd_numbers_are_refused() -> None:
    inherited = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    done = subprocess.run(
        [sys.executable, "-m", "load"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env=inherited | {"LOAD_USERS": "many"},
    )  # fmt: skip
    assert (done.returncode, done.stderr.strip()) == (2, "LOAD_USERS is a whole number above 0")
    with pytest.raises(ValueError, match="one of each role"):
        shares_of(len(SHARES) - 1)
    for count in (8, 9, 33, 100, 250):
        shares = shares_of(count)
        assert (sum(shares.values()), min(shares.values()) >= 1) == (count, True)


def ledger(*asked: Asked) -> Ledger:
    return Ledger(list(asked))


def test_the_trail_is_held_against_what_was_asked() -> None:
    read = Asked("record", "doctor", 200, 5.0, "one", "medical_record.read")
    poll = Asked("live: anything new?", "doctor", 200, 2.0, "two")
    told = ("one", "medical_record.read", "success")
    assert disagreements(ledger(read, poll), [told]) == []
    assert disagreements(ledger(read, poll), []) == ["record: medical_record.read is there 0 times (1 requests)"]
    assert disagreements(ledger(read), [told, told]) == ["record: medical_record.read is there 2 times (1 requests)"]
    refused = ("one", "medical_record.read", "refused")
    assert disagreements(ledger(read), [refused]) != []
    nobody = ("three", "patient.read", "success")
    assert disagreements(ledger(read), [told, nobody]) == ["patient.read of a request that nobody made (1 requests)"]
    silent = ("two", "visit.list", "success")
    assert disagreements(ledger(read, poll), [told, silent]) == [
        "visit.list of a request that reads nothing (1 requests)"
    ]
    failed = Asked("record", "doctor", 500, 5.0, "four", "medical_record.read", "answers 500")
    assert disagreements(ledger(failed), []) == []  # an error already, and no act


def test_percentiles_are_of_what_was_measured() -> None:
    found = figures([Asked("a", "doctor", 200, float(ms), "") for ms in range(1, 101)])
    assert (found.count, found.errors, found.slowest_ms) == (100, 0, 100.0)
    assert found.percentiles == {50: 51.0, 90: 91.0, 95: 96.0, 99: 100.0}


def test_a_form_sends_what_browsers_send() -> None:
    page = """
        <form id="other"><input name="q" value="x"></form>
        <form id="record-form"><input name="csrf_token" value="t"><input type="hidden" name="version" value="3">
        <input type="checkbox" name="restricted" value="true"><input type="hidden" name="restricted" value="false">
        <textarea name="notes">\nDor &amp; febre</textarea>
        <select name="kind"><option value="EXAM">a<option value="OTHER" selected>b</select>
        <input name="q" form="other" value="x"></form><input name="z">"""
    assert form_values(page, "record-form") == {
        "version": "3", "restricted": "false", "notes": "Dor & febre", "kind": "OTHER",
    }  # fmt: skip
    assert form_values(page, "none") == {}


def test_the_baseline_that_is_kept_is_a_whole_run_without_a_fault() -> None:
    baseline = read_result(BASELINE)
    assert (baseline["users"], baseline["records"]) == (100, 10_000)
    assert list(faults(baseline)) == list(whole(baseline)) == []
    assert list(regressions(baseline, baseline)) == []
    assert {round(ratio, 6) for *_, ratio in ratios(baseline, baseline)} == {1.0}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"roles": {"doctor": 8}}, "8 people worked"),
        ({"seconds": 60.0, "per_second": 33.5}, "it took 60 s"),
        ({"think_seconds": [0.25, 1]}, r"at a haste of \[0.25, 1\]"),
        ({"requests": 2_500}, "its groups have"),
        ({"per_second": 15.9}, "are not 15.9 a second"),
    ],
)
def test_what_is_no_whole_run_is_no_baseline(changes: dict[str, object], why: str) -> None:
    assert list(whole(make_result())) == []
    assert any(re.search(why, line) for line in whole(make_result(**changes)))


def test_what_is_worse_than_the_baseline_is_said() -> None:
    baseline, changed = make_result(), make_result
    slow = changed(hello_per_second=baseline["hello_per_second"] * 2.5)
    assert {name for name, *_ in ratios(slow, baseline)} == {"pages", "live parts"}  # of the api too few
    assert any("2.5 times as long" in line for line in regressions(slow, baseline))
    half = changed(hello_per_second=baseline["hello_per_second"] / 2)
    assert list(regressions(half, baseline)) == []  # a machine half as quick with the same times is better
    assert any("say little" in line for line in regressions(changed(seconds=30.0), baseline))
    statements = {**baseline["statements"], "over_100_ms": 3, "slowest_ms": 180.0}
    assert list(faults(changed(statements=statements))) == ["3 statements took 100 ms or longer, up to 180.0 ms"]
    assert list(faults(changed(statements=statements, users=USERS))) == [], "a trial of a few is not about that"


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    for text in ("", "[]", '{"format": 0}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(LoadResultError, match="make load"):
            read_result(tmp_path / "a.json")
    with pytest.raises(LoadResultError, match="No such file"):
        read_result(tmp_path / "none.json")
