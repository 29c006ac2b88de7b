"""Every alert fires when it should, as late as it says, and not when it should not: promtool says so.

Cases are in ``alert_cases/``. What is asked is the series ``ALERTS`` that the rules themselves leave: before the
alert's time is over it is pending, then it fires with exactly these labels.
"""

from __future__ import annotations

import importlib
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.metrics import REQUEST_BUCKETS
from tests.observability.alert_cases import Case
from tests.observability.alert_rules import (
    PROMETHEUS,
    ROOT,
    RULES,
    alerts_of,
    minutes,
    programs,
    rule_files,
    rules_of,
)

RUNBOOKS = "https://runbooks"
FAMILIES = [file.stem for file in rule_files() if alerts_of(file)]
RECORDS = [rule for file in rule_files() for rule in rules_of(file) if "record" in rule]


def cases_of(family: str) -> Mapping[str, Case]:
    found: Mapping[str, Case] = importlib.import_module(f"tests.observability.alert_cases.{family}").CASES
    return found


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([programs() / "promtool", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_alert_has_a_case_that_fires_and_one_that_does_not(family: str) -> None:
    alerts, cases = alerts_of(RULES / f"{family}.yml"), cases_of(family)
    assert set(alerts) == set(cases)
    # The watchdog alone always fires.
    assert [name for name, case in cases.items() if not case.quiet] == (["Watchdog"] if family == "monitoring" else [])


@pytest.mark.parametrize("family", FAMILIES)
def test_alerts_fire_when_they_should_and_only_then(family: str, tmp_path: Path) -> None:
    alerts = alerts_of(RULES / f"{family}.yml")
    files = []
    for name, case in cases_of(family).items():
        rules, tests = tmp_path / f"{name}.rules.yml", tmp_path / f"{name}.yml"
        # Each on its own: promtool evaluates every rule it is given at every step, which takes minutes for all.
        rules.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": with_what_it_asks_for(alerts[name])}]}))
        written = {"rule_files": [rules.name], "evaluation_interval": f"{case.step}m"}
        tests.write_text(yaml.safe_dump({**written, "tests": list(written_for(alerts[name], case))}))
        files.append(tests)
    ran = promtool("test", "rules", *files)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def with_what_it_asks_for(rule: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """``rule`` after those that record what it asks for, and what these ask for."""
    before = [each for each in RECORDS if re.search(rf"(?<![\w:]){re.escape(recorded(each))}(?![\w:])", rule["expr"])]
    return [*(each for asked in before for each in with_what_it_asks_for(asked)), rule]


def recorded(rule: Mapping[str, Any]) -> str:
    """The series as rules name it."""
    return str(rule["record"]) + (f'{{slo="{rule["labels"]["slo"]}"}}' if "labels" in rule else "")


def written_for(alert: Mapping[str, Any], case: Case) -> Iterator[dict[str, Any]]:
    """promtool's tests: one for each way in which it fires and one for each series that must not."""
    name, wait = alert["alert"], minutes(alert.get("for", "0m"))
    fires = case.since + math.ceil(wait / case.step) * case.step
    moments: list[tuple[int, list[str]]] = []
    if case.since:
        moments.append((case.since - case.step, []))
    if wait:
        moments += [(case.since, ["pending"]), (fires - case.step, ["pending"])]
    moments += [(fires, ["firing"]), (fires + case.step, ["firing"])]
    yield {
        "name": f"{name} fires",
        "interval": f"{case.step}m",
        "external_labels": {"runbooks": RUNBOOKS},
        "input_series": [{"series": series, "values": values} for series, values in case.fires.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{name}"}}',
                "eval_time": f"{at}m",
                "exp_samples": [{"labels": active(alert, case, state), "value": 1} for state in states],
            }
            for at, states in moments
        ],
    }
    for other in case.also:
        yield from written_for(alert, other)
    end = case.until or fires + 20 * case.step
    for number, series in enumerate(case.quiet):
        yield {
            "name": f"{name} stays quiet ({number})",
            "interval": f"{case.step}m",
            "input_series": [{"series": each, "values": values} for each, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'max_over_time(ALERTS{{alertname="{name}", alertstate="firing"}}[{end}m])',
                    "eval_time": f"{end}m",
                    "exp_samples": [],
                }
            ],
        }


def active(alert: Mapping[str, Any], case: Case, state: str) -> str:
    own = {key: value.replace("{{ $externalLabels.runbooks }}", RUNBOOKS) for key, value in alert["labels"].items()}
    labels = {"alertname": alert["alert"], "alertstate": state, **own, **case.labels}
    return "ALERTS{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


@pytest.mark.parametrize("family", FAMILIES)
def test_what_an_alert_says_names_only_labels_it_has(family: str) -> None:
    """Else somebody reads at night that `<no value>` is down."""
    for name, alert in alerts_of(RULES / f"{family}.yml").items():
        texts = " ".join(alert["annotations"].values())
        has = {*alert["labels"], *cases_of(family)[name].labels}
        assert set(re.findall(r"\$labels\.(\w+)", texts)) <= has, name


def test_the_configuration_is_what_prometheus_takes(tmp_path: Path) -> None:
    """promtool wants to see the token's file, which only the container has."""
    (tmp_path / "token").write_text("a token")
    for name in ("rules", "targets"):
        (tmp_path / name).symlink_to(PROMETHEUS / name)
    text = (PROMETHEUS / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(text.replace("/run/secrets/metrics_token", str(tmp_path / "token")))
    checked = promtool("check", "config", "--lint=all", "--lint-fatal", tmp_path / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rule_files())} rule files found" in checked.stdout
    ran = promtool("check", "rules", "--lint=all", "--lint-fatal", *rule_files())
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_address_is_asked_by_the_module_that_its_certificate_needs(tmp_path: Path) -> None:
    """As Debian's older Prometheus understands it, too, which compose's is held to."""
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "public.yml").write_text(
        "- targets: [https://known/readyz]\n"
        "- targets: [https://own/readyz]\n  labels: {__param_module: readyz_own_authority, renewed: hourly}\n"
    )
    given = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    [job] = (each for each in given["scrape_configs"] if each["job_name"] == "blackbox")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    found = promtool("check", "service-discovery", "--timeout=3s", tmp_path / "prometheus.yml", "blackbox")
    labels = [each["labels"] for each in json.loads(found.stdout)]
    assert {each["instance"]: each["__param_module"] for each in labels} == {
        "https://known/readyz": "readyz", "https://own/readyz": "readyz_own_authority",
    }  # fmt: skip
    assert {each["__address__"] for each in labels} == {"blackbox-exporter:9115"}


def test_blackbox_takes_its_configuration() -> None:
    file = ROOT / "observability" / "blackbox" / "blackbox.yml"
    program = programs() / "prometheus-blackbox-exporter"
    checked = subprocess.run(
        [program, "--config.check", f"--config.file={file}"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_objectives_are_as_their_table_writes_them() -> None:
    written = subprocess.run(
        [sys.executable, PROMETHEUS / "slo.py"], capture_output=True, text=True, check=True
    ).stdout
    assert (RULES / "slo.yml").read_text() == written, "run observability/prometheus/slo.py again"


def test_budgets_burn_at_the_pace_of_the_workbook() -> None:
    """Of a month's budget: 2 % in an hour or 5 % in six is fast, 10 % in a day or in three is slow; in the short window
    of each pair too. Either pair is enough for an alert, so cases alone would not see one of them change."""
    shares = {"1h": 0.02, "6h": 0.05, "1d": 0.1, "3d": 0.1}
    shorter = {"1h": "5m", "6h": "30m", "1d": "2h", "3d": "6h"}
    rules = rules_of(RULES / "slo.yml")
    targets = {rule["labels"]["slo"]: rule["expr"] for rule in rules if rule.get("record") == "sigilo:slo_target:ratio"}
    for name, alert in alerts_of(RULES / "slo.yml").items():
        pairs = ("1h", "6h") if name.endswith("Fast") else ("1d", "3d")
        asked = re.findall(r'ratio_rate(\w+)\{slo="(\w+)"\} > ([\d.]+)', alert["expr"])
        assert [window for window, _, _ in asked] == [each for long in pairs for each in (long, shorter[long])]
        for (_, slo, most), window in zip(asked, [each for each in pairs for _ in "ab"], strict=True):
            budget = 1 - float(targets[slo][len("vector(") : -1])
            assert float(most) == pytest.approx(budget * shares[window] * minutes("30d") / minutes(window)), name


def test_the_promised_duration_is_a_bucket() -> None:
    promised = re.findall(r'le="([\d.]+)"', (RULES / "slo.yml").read_text())
    assert promised
    assert {float(each) for each in promised} <= set(REQUEST_BUCKETS)
