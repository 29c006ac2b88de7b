"""Write the rules of the service level objectives: ``python observability/prometheus/slo.py > …/rules/slo.yml``.

Five promises, each with the share of bad requests or bad time in eight windows and two alerts of Google's SRE
Workbook, chapter 5 ("Alerting on SLOs", multiwindow, multi-burn-rate): fast (2 % of a month's budget gone in an hour,
or 5 % in six) calls somebody, slow (10 % in one to three days) can wait for the morning. The short window of each pair
ends the alert soon after the burning ends. They differ in numbers alone, so this table writes them; a test compares
the file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

SHORT, LONG = ("5m", "30m", "1h"), ("2h", "6h", "1d", "3d", "30d")
MONTH = "30d"
FAST = (("1h", "5m", 14.4), ("6h", "30m", 6.0))  # (long window, short window, times the even pace)
SLOW = (("1d", "2h", 3.0), ("3d", "6h", 1.0))
# Whoever asks by the clock at every second is no person who waits.
PEOPLE = 'url_rule!~"/livez|/readyz|/metrics|/api/health"'
REQUESTS = "sigilo_http_request_duration_seconds"
# At night one failure of five requests is a fifth of them, and no reason to wake anybody.
FEWEST_BAD = 10
HEADER = """\
# Written by observability/prometheus/slo.py from its table of objectives. Do not edit; change that and run it again.
"""


@dataclass(frozen=True)
class Objective:
    """``target``: the share that must be good over a month. Either of requests (``all_of`` and ``bad_of`` are selectors
    of series that count them; ``good_of`` is what is taken from all instead) or of time (``is_bad`` is 1 meanwhile)."""

    name: str
    alert: str
    target: float
    promise: str
    promise_pt: str
    all_of: str = ""
    bad_of: str = ""
    good_of: str = ""
    is_bad: str = ""

    @property
    def budget(self) -> float:
        return round(1 - self.target, 6)

    def ratio(self, window: str) -> str:
        """The share of ``window`` that was bad; nothing where nobody asked anything."""
        if self.is_bad:
            return f'avg_over_time(sigilo:slo_bad:bool{{slo="{self.name}"}}[{window}])'
        return f"{self._bad('rate', window)} / (sum(rate({self.all_of}[{window}])) > 0)"

    def _bad(self, function: str, window: str) -> str:
        if self.good_of:
            return f"(sum({function}({self.all_of}[{window}])) - sum({function}({self.good_of}[{window}])))"
        return f"(sum({function}({self.bad_of}[{window}])) or vector(0))"

    def count(self, window: str) -> str:
        return self._bad("increase", window)


OBJECTIVES = (
    Objective(
        "availability", "Availability", 0.999,
        "999 of 1,000 requests are answered without a fault of ours", "999 de cada 1.000 páginas e chamadas funcionam",
        all_of=f"{REQUESTS}_count{{{PEOPLE}}}", bad_of=f'{REQUESTS}_count{{{PEOPLE}, status=~"5.."}}',
    ),
    # What nobody answers is counted by no server: a share of time, by the probe from outside, or by what Prometheus
    # itself reaches where there is none.
    Objective(
        "reachability", "Reachability", 0.999,
        "somebody answers, 99.9 % of the time", "o sistema responde 99,9% do tempo",
        is_bad='(max(probe_success{job="blackbox", probe="readyz"}) or max(up{job="sigilo-web"}) or vector(0))'
        " == bool 0",
    ),
    Objective(
        "latency", "Latency", 0.99,
        "99 of 100 requests are answered within 300 ms", "99 de cada 100 páginas e chamadas levam menos de 300 ms",
        all_of=f'{REQUESTS}_count{{{PEOPLE}, status!~"5.."}}',
        good_of=f'{REQUESTS}_bucket{{{PEOPLE}, status!~"5..", le="0.3"}}',
    ),
    Objective(
        "trail_freshness", "TrailFreshness", 0.995,
        "events are sealed within 60 s, 99.5 % of the time", "eventos de auditoria são selados em até 60 s",
        is_bad="max(sigilo_audit_outbox_age_seconds) > bool 60",
    ),
    Objective(
        "backup_freshness", "BackupFreshness", 0.99,
        "a backup that was restored is younger than 26 h, 99 % of the time", "há sempre um backup bom de menos de 26 h",
        # A new installation has none yet; BackupMissing looks after that.
        is_bad="time() - (max(sigilo_backup_last_good_timestamp_seconds) > 0) > bool 26 * 3600",
    ),
)  # fmt: skip


def rules() -> dict[str, Any]:
    """The file, as YAML has it."""
    return {
        "groups": [
            {"name": "slo", "interval": "30s", "rules": [*_states(), *_ratios(SHORT)]},
            # Three days change little in two minutes, and are costly to read.
            {"name": "slo-long", "interval": "2m", "rules": [*_ratios(LONG), *_counts(), *_left()]},
            {"name": "slo-alerts", "rules": list(_alerts())},
        ]
    }


def _states() -> Iterator[dict[str, Any]]:
    for each in OBJECTIVES:
        yield {"record": "sigilo:slo_target:ratio", "labels": {"slo": each.name}, "expr": f"vector({each.target})"}
        if each.is_bad:
            yield {"record": "sigilo:slo_bad:bool", "labels": {"slo": each.name}, "expr": each.is_bad}


def _ratios(windows: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for each in OBJECTIVES:
        for window in windows:
            name = f"sigilo:slo_bad:ratio_rate{window}"
            yield {"record": name, "labels": {"slo": each.name}, "expr": each.ratio(window)}


def _counts() -> Iterator[dict[str, Any]]:
    for each in OBJECTIVES:
        for window in () if each.is_bad else sorted({pair[0] for pair in (*FAST, *SLOW)}):
            name = f"sigilo:slo_bad:increase{window}"
            yield {"record": name, "labels": {"slo": each.name}, "expr": each.count(window)}


def _left() -> Iterator[dict[str, Any]]:
    """What is left of the month's budget: 1 all of it, below 0 it is overdrawn."""
    for each in OBJECTIVES:
        bad = f'sigilo:slo_bad:ratio_rate{MONTH}{{slo="{each.name}"}}'
        left = f"1 - {bad} / {each.budget}"
        yield {"record": "sigilo:slo_budget_left:ratio", "labels": {"slo": each.name}, "expr": left}


def _alerts() -> Iterator[dict[str, Any]]:
    for each in OBJECTIVES:
        yield _alert(each, "Fast", FAST, "critical", "2m")
        yield _alert(each, "Slowly", SLOW, "warning", "15m")


def _alert(each: Objective, pace: str, pairs: tuple[tuple[str, str, float], ...], severity: str, wait: str) -> Any:
    name = f"{each.alert}BudgetBurns{pace}"
    now, end = ("rapidamente", "in days") if pace == "Fast" else ("aos poucos", "before its end")
    return {
        "alert": name,
        "expr": " or ".join(_burns(each, *pair) for pair in pairs),
        "for": wait,
        "labels": {"severity": severity, "family": "slo"},
        "annotations": {
            "summary": f"The promise that {each.promise} is being broken",
            "description": "{{ $value | humanizePercentage }} are bad in the longer window; over a month"
            f" {each.budget:.1%} may be. At this pace the month's budget is gone {end}.",
            "summary_pt": f"Meta em risco ({now}): {each.promise_pt}",
            "runbook_url": f"{{{{ $externalLabels.runbooks }}}}/slo.md#{name.lower()}",
        },
    }


def _burns(each: Objective, long: str, short: str, pace: float) -> str:
    slo, most = f'{{slo="{each.name}"}}', f"{pace * each.budget:.6g}"
    both = f"sigilo:slo_bad:ratio_rate{long}{slo} > {most} and sigilo:slo_bad:ratio_rate{short}{slo} > {most}"
    return f"({both})" if each.is_bad else f"({both} and sigilo:slo_bad:increase{long}{slo} >= {FEWEST_BAD})"


if __name__ == "__main__":
    sys.stdout.write(HEADER + yaml.safe_dump(rules(), sort_keys=False, allow_unicode=True, width=1000))
