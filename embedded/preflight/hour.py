"""An hour after a deployment: what the application itself counted and wrote down since."""

from __future__ import annotations

import math
from collections.abc import Iterator

from config import Principal
from embedded.preflight.check import FailedError, NotHereError
from embedded.preflight.ground import Ground
from observability.metrics import REQUEST_SECONDS

# As the promises of observability/prometheus/slo.py have it.
PROBES = ("/livez", "/readyz", "/metrics", "/api/health")
ERRORS_MAX, SLOW_MAX, SLOW_SECONDS = 0.001, 0.01, "0.3"
FEWEST = 100  # requests, below which a share says little
CHECKPOINT_LATE, OUTBOX_LATE = 600.0, 60.0  # seconds
LETTERS = """
    SELECT count(*) FILTER (WHERE failed_at >= %(since)s), count(*) FROM dead_letters WHERE resolved_at IS NULL
"""


def _requests(ground: Ground, suffix: str, **labels: str) -> Iterator[tuple[str, float]]:
    """(status, how many) of what people asked; probes ask by the clock."""
    family = ground.metrics.get(REQUEST_SECONDS)
    for sample in family.samples if family is not None else []:
        is_meant = sample.name == f"{REQUEST_SECONDS}{suffix}" and labels.items() <= sample.labels.items()
        if is_meant and sample.labels["url_rule"] not in PROBES:
            yield sample.labels["status"], sample.value


def _enough(ground: Ground) -> tuple[float, float]:
    """(all requests, those answered with 5xx) since the web server started. Raises NotHereError."""
    counted = list(_requests(ground, "_count"))
    total = sum(number for _, number in counted)
    if total < FEWEST:
        raise NotHereError(f"{total:.0f} requests since the web server started are too few to say: look later")
    return total, sum(number for status, number in counted if status.startswith("5"))


def errors_are_rare(ground: Ground) -> str:
    total, bad = _enough(ground)
    if bad / total > ERRORS_MAX:
        raise FailedError(f"{bad:.0f} of {total:.0f} requests got 5xx (at most 0.1 %): look at the log, or roll back")
    return f"{bad:.0f} of {total:.0f} requests got 5xx since the web server started"


def pages_are_quick(ground: Ground) -> str:
    """By the promise that people are given: 99 % within 0.3 s."""
    total, bad = _enough(ground)
    quick = sum(number for status, number in _requests(ground, "_bucket", le=SLOW_SECONDS) if status[0] != "5")
    slow = max(0.0, total - bad - quick)
    if slow / total > SLOW_MAX:
        raise FailedError(f"{slow:.0f} of {total:.0f} requests took longer than 0.3 s: see the dashboard of the web")
    return f"{quick / max(1.0, total - bad):.2%} of {total:.0f} requests within 0.3 s"


def nothing_failed_for_good(ground: Ground) -> str:
    with ground.connection(Principal.WORKER) as connection:
        row = connection.execute(LETTERS, {"since": ground.given.since}).fetchone()
    assert row is not None  # noqa: S101
    if row[1]:
        raise FailedError(f"{row[1]} pieces of work failed for good, {row[0]} of them since: look at /system")
    return f"no dead letter since {ground.given.since:%Y-%m-%d %H:%M} UTC, and none from before"


def jobs_are_on_time(ground: Ground) -> str:
    late = sorted(_labelled(ground, "sigilo_scheduler_slot_late", "slot"))
    failed = sorted(_labelled(ground, "sigilo_job_run_failed", "slot"))
    if late or failed:
        raise FailedError(f"late: {', '.join(late) or 'none'}; failed: {', '.join(failed) or 'none'}; look at /system")
    return "every timed job began in its slot, and none failed"


def _labelled(ground: Ground, name: str, label: str) -> list[str]:
    """Values of ``label`` for which the metric is 1."""
    family = ground.metrics.get(name)
    return [sample.labels[label] for sample in family.samples if sample.value == 1] if family is not None else []


def backups_are_well(ground: Ground) -> str:
    failed, drill = ground.metric("sigilo_backup_failed"), ground.metric("sigilo_backup_drill_failed")
    rpo = ground.metric("sigilo_backup_rpo_seconds")
    if failed == 1 or drill == 1:
        raise FailedError("the newest backup or drill failed: `sigilo backup list` says why")
    if math.isnan(rpo):
        raise FailedError("no backup that a drill restored: run `sigilo backup create`, then `backup drill`")
    return f"a restore now would bring back what was {rpo / 3600:.1f} h ago (RPO)"


def trail_is_fresh(ground: Ground) -> str:
    """Sealed within seconds, signed within minutes, and found whole when it was looked through last."""
    waits = ground.metric("sigilo_audit_outbox_age_seconds")
    overdue = ground.metric("sigilo_audit_checkpoint_overdue_seconds")
    if math.isnan(waits) or waits > OUTBOX_LATE:
        raise FailedError(f"the oldest event has waited {waits:.0f} s to be sealed: does the audit worker run?")
    if overdue > CHECKPOINT_LATE:
        raise FailedError(f"an event has been unsigned for {overdue:.0f} s: look at the audit worker's log")
    if ground.metric("sigilo_audit_verification_failed") == 1:
        raise FailedError("the newest verification found something: run `sigilo audit verify` and look at /audit")
    sinks = _labelled(ground, "sigilo_audit_checkpoint_sink_failed", "sink")
    if sinks:
        raise FailedError(f"checkpoints do not reach: {', '.join(sinks)}; look at CHECKPOINT_SINKS")
    return f"the oldest unsealed event is {waits:.0f} s old, the oldest unsigned one {max(0.0, overdue):.0f} s"


def no_alert_fires(ground: Ground) -> str:
    url = ground.given.prometheus_url.rstrip("/")
    if not url:
        raise NotHereError("needs Prometheus: give its address with --prometheus")
    answer = ground.client.get(f"{url}/api/v1/alerts").raise_for_status().json()
    firing = {each["labels"]["alertname"] for each in answer["data"]["alerts"] if each["state"] == "firing"}
    if firing:
        raise FailedError(f"firing: {', '.join(sorted(firing))}; each has a runbook in observability/runbooks")
    return f"none of {len(answer['data']['alerts'])} pending or firing alerts fires"
