"""A rule about a metric that nobody has is silent for ever: each name is one of ours, of an exporter, or recorded."""

from __future__ import annotations

import re

import pytest

from tests.observability.alert_rules import RUNBOOKS, rule_files, rules_of
from tests.observability.documented import documented_metrics
from tests.observability.measured_by_exporters import measured_names
from tests.servers import DatabaseServer

# Of programs that don't run here, or of what only a second server brings about; from their documentation.
NOT_HERE = {
    "container_memory_working_set_bytes": "cAdvisor",
    "container_spec_memory_limit_bytes": "cAdvisor",
    "pg_stat_replication_pg_wal_lsn_diff": "postgres-exporter, of a server with a standby",
    "prometheus_tsdb_head_samples_appended_total": "Prometheus, once it has taken something in",
    "probe_ssl_earliest_cert_expiry": "blackbox-exporter, of a server that answers over TLS",
    "up": "Prometheus itself, of every target",
    "sigilo_base_backup_age_seconds": "ours, where pgBackRest is watched",
    "sigilo_wal_archive_gap": "ours, where pgBackRest is watched",
}
WORDS = {"and", "or", "unless", "offset", "bool", "on", "ignoring", "by", "without", "group_left", "group_right"}
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "info": ()}


def asked(expression: str) -> set[str]:
    """The names of series in PromQL: what is left without strings, labels, windows, groupings, functions and words."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    names = re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?![\w:]|\s*\()", bare)
    return {name for name in names if name not in WORDS}


def ours() -> set[str]:
    found = set()
    for metric in documented_metrics():
        found |= {metric.name + suffix for suffix in SUFFIXES.get(metric.type, ("",))}
        found |= {metric.name} if metric.type == "info" else set()
    return found


@pytest.fixture(scope="module")
def known(server: DatabaseServer, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return measured_names(server, redis_url, tmp_path_factory.mktemp("exporters"))


def test_every_name_in_a_rule_is_measured(known: set[str]) -> None:
    rules = [rule for file in rule_files() for rule in rules_of(file)]
    names = set().union(*(asked(rule["expr"]) for rule in rules))
    recorded = {rule["record"] for rule in rules if "record" in rule}
    assert names - ours() - recorded - known <= set(NOT_HERE)
    assert set(NOT_HERE) <= names, "no rule asks for it any more"


def test_every_name_in_a_runbook_is_measured(known: set[str]) -> None:
    recorded = {rule["record"] for file in rule_files() for rule in rules_of(file) if "record" in rule}
    for page in RUNBOOKS.glob("*.md"):
        for text in re.findall(r"```promql\n(.*?)```", page.read_text(), re.DOTALL):
            assert asked(text) <= ours() | recorded | known, page.name


def test_names_are_found_in_an_expression() -> None:
    text = 'max by (slot) (a_total{job="x_y"}) > 0.5 * b:c:rate5m offset 1h and on (d) rate(e_count[5m]) > 1e3'
    assert asked(text) == {"a_total", "b:c:rate5m", "e_count"}
