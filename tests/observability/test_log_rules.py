"""Alerts on logs ask for labels, members and events that there are.

There is no Loki here to evaluate them, so what is tested is what a reader of both sides would compare: the shape of the
file as Loki's documentation has it, and every name in it against Alloy's labels and the program's own log calls.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.observability.alert_rules import LOKI_RULES, ROOT, alerts_of, minutes

FILES = sorted(LOKI_RULES.glob("**/*.yml"))
ALERTS = {name: alert for file in FILES for name, alert in alerts_of(file).items()}
PACKAGES = ("web", "services", "tasks", "integrations", "observability", "backups")
# As Alloy labels streams; services are those of compose.
LABELS = {"job": {"sigilo"}, "level": {"error"}, "service": {"web", "scheduler", "postgres"}}
MEMBERS = {"event", "route", "status"}


def events() -> set[str]:
    """What the program logs: the first argument of every call of ``log.…``, and the line of a request."""
    found = {"request"}
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name("log")), args=[ast.Constant(value=str(said)), *_]
                    ):
                        found.add(said)
    return found


@pytest.fixture(scope="module")
def logged() -> set[str]:
    return events()


def test_the_files_have_the_shape_of_rules() -> None:
    assert [file.relative_to(LOKI_RULES).parent.name for file in FILES] == ["fake"], "of the only tenant"
    for file in FILES:
        loaded: dict[str, Any] = yaml.safe_load(file.read_text())
        assert set(loaded) == {"groups"}
        for group in loaded["groups"]:
            assert set(group) <= {"name", "interval", "limit", "rules"}
            for rule in group["rules"]:
                assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
                assert all(isinstance(value, str) for value in rule["annotations"].values())


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_asks_for_what_is_logged(name: str, logged: set[str]) -> None:
    expression = without_strings(ALERTS[name]["expr"])
    assert expression.count("(") == expression.count(")")
    assert expression.count("{") == expression.count("}") == 1
    (window,) = re.findall(r"\[(\w+)\]", expression)
    assert minutes(window) >= 15, "a rule is evaluated once a minute, and lines come late"

    selector, *stages = pipeline(ALERTS[name]["expr"])
    for label, value in re.findall(r'(\w+)="(\w+)"', selector):
        assert value in LABELS[label]
    for member, operator, quoted, number in filters(stages):
        assert member in MEMBERS
        if member == "event":
            for alternative in quoted.split("|") if operator == "=~" else [re.escape(quoted)]:
                assert any(re.fullmatch(alternative, event) for event in logged), alternative
        assert member != "status" or 100 <= int(number) < 600


@pytest.mark.parametrize("name", ALERTS)
def test_texts_name_only_labels_that_the_alert_has(name: str) -> None:
    alert = ALERTS[name]
    kept = set(re.findall(r"sum by \((\w+)\)", alert["expr"])) | set(alert["labels"])
    assert set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values()))) <= kept


def without_strings(expression: str) -> str:
    return re.sub(r'"[^"]*"', '""', expression)


def pipeline(expression: str) -> list[str]:
    """The stream's selector and the stages after it."""
    inner = re.search(r"\{.*(?=\[)", expression)
    assert inner is not None
    return [part.strip() for part in re.split(r"\s\|(?=[ ~=])", inner[0])]


def filters(stages: list[str]) -> Iterator[tuple[str, str, str, str]]:
    """(member, operator, quoted value, number) of the stages that look into a line, which ``json`` must come before."""
    looking = [stage for stage in stages if stage != "json" and not stage.startswith("~")]
    assert not looking or stages[0] == "json"
    for stage in looking:
        found = re.fullmatch(r'(\w+)(=~|=|!=)(?:"([^"]*)"|(\d+))', stage)
        assert found is not None, stage
        yield found[1], found[2], found[3] or "", found[4] or ""
