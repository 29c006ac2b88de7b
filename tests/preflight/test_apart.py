"""Checks of ``sigilo preflight`` that need no installation: reports of hosts, and numbers that somebody shows."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from embedded.preflight import readiness
from embedded.preflight.check import Outcome, State
from embedded.preflight.checklist import CHECKS
from embedded.preflight.ground import Given, Ground
from embedded.preflight.host import look_at_host
from tests.installation import FOREIGN, free_port
from tests.preflight.conftest import HOST, failing
from tests.preflight.front import saying

REQUESTS = "sigilo_http_request_duration_seconds"


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[None]:
    """A shell on a machine without any installation."""
    before = dict(os.environ)
    for name in [name for name in os.environ if FOREIGN.match(name)]:
        del os.environ[name]
    os.environ["SIGILO_HOME"] = str(tmp_path / "nothing")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def ground(**given: Any) -> Ground:
    """Of an address where nobody is."""
    return Ground(f"http://127.0.0.1:{free_port()}", os.environ, Given(**given))


def look(name: str, **given: Any) -> Outcome:
    return next(check for check in CHECKS if check.name == name).run(ground(**given))


def at_metrics(name: str, text: str) -> Outcome:
    with saying(text) as url:
        return look(name, metrics_url=url)


def report(tmp_path: Path, text: str, *, days: float = 0) -> dict[str, Outcome]:
    path = tmp_path / "host.txt"
    path.write_text(text)
    os.utime(path, (time.time() - days * 86_400,) * 2)
    return {outcome.name: outcome for outcome in look_at_host(ground(host_report=path))}


@pytest.mark.usefixtures("bare")
def test_the_host_says_itself_what_a_container_can_not_see(tmp_path: Path) -> None:
    assert {each.state for each in report(tmp_path, HOST).values()} == {State.PASS}
    open_host = report(tmp_path, "bad firewall: 5432 is open to all\nunknown ssh: no sshd_config\nand a note\n")
    assert failing(open_host["Host: firewall"], "5432")
    assert failing(open_host["Host: ssh"], "no sshd_config; on the host run `sudo")
    assert failing(report(tmp_path, "ok firewall: closed\n")["SSH by key alone"], "says nothing", "deploy/host --check")
    assert failing(report(tmp_path, HOST, days=30)["Host report"], "30 days old")
    assert {each.state for each in look_at_host(ground())} == {State.NOT_HERE}


@pytest.mark.usefixtures("bare")
def test_what_needs_settings_is_not_here_and_fails_nothing() -> None:
    for name in ("Backup is done and drilled", "Rate limits hold", "Queries take less than 100 ms"):
        outcome = look(name)
        assert (outcome.state, "settings" in outcome.text) == (State.NOT_HERE, True), outcome


def requests(*, bad: int = 0, slow: int = 0, total: int = 10_000) -> str:
    """Metrics of so many requests; probes, which count for nothing, fail all the time."""
    page, good = 'method="GET",url_rule="/patients"', total - bad
    lines = [
        f"# TYPE {REQUESTS} histogram",
        f'{REQUESTS}_bucket{{{page},status="200",le="0.3"}} {good - slow}',
        f'{REQUESTS}_bucket{{{page},status="200",le="+Inf"}} {good}',
        f'{REQUESTS}_count{{{page},status="200"}} {good}',
        f'{REQUESTS}_bucket{{{page},status="500",le="+Inf"}} {bad}',
        f'{REQUESTS}_count{{{page},status="500"}} {bad}',
        f'{REQUESTS}_count{{method="GET",url_rule="/readyz",status="503"}} 999999',
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.usefixtures("bare")
def test_an_hour_with_errors_or_slow_pages_fails() -> None:
    assert at_metrics("Error rate", requests(bad=5)).state is State.PASS
    assert at_metrics("Latency", requests(bad=5, slow=90)).state is State.PASS
    assert failing(at_metrics("Error rate", requests(bad=11)), "11 of 10000", "roll back")
    assert failing(at_metrics("Latency", requests(slow=150)), "150 of 10000", "0.3 s")
    assert at_metrics("Error rate", requests(bad=9, total=90)).state is State.NOT_HERE


@pytest.mark.usefixtures("bare")
def test_what_the_hour_left_undone_fails() -> None:
    late = 'sigilo_scheduler_slot_late{slot="backups.daily"} 1\nsigilo_job_run_failed{slot="cleanup.expired"} 1\n'
    assert failing(at_metrics("Timed jobs", late), "late: backups.daily", "failed: cleanup.expired")
    assert failing(at_metrics("Backups", "sigilo_backup_failed 1\n"), "sigilo backup list")
    assert failing(at_metrics("Backups", "sigilo_backup_failed 0\nsigilo_backup_rpo_seconds NaN\n"), "backup drill")
    fresh = "sigilo_audit_outbox_age_seconds {}\nsigilo_audit_checkpoint_overdue_seconds {}\n"
    assert at_metrics("The trail is fresh", fresh.format(2, 30)).state is State.PASS
    assert failing(at_metrics("The trail is fresh", fresh.format(300, 0)), "300 s to be sealed")
    assert failing(at_metrics("The trail is fresh", fresh.format("NaN", 0)), "audit worker")
    assert failing(at_metrics("The trail is fresh", fresh.format(0, 4000)), "unsigned")
    broken = fresh.format(0, 0) + "sigilo_audit_verification_failed 1\n"
    assert failing(at_metrics("The trail is fresh", broken), "sigilo audit verify")
    lost = fresh.format(0, 0) + 'sigilo_audit_checkpoint_sink_failed{sink="s3"} 1\n'
    assert failing(at_metrics("The trail is fresh", lost), "s3")


@pytest.mark.usefixtures("bare")
def test_errors_in_the_log_since_the_switch_fail(tmp_path: Path) -> None:
    name, path = "Logs tell of no error", tmp_path / "web.log"
    now = datetime.now(UTC)

    def line(minutes: int, level: str) -> str:
        at = (now - timedelta(minutes=minutes)).isoformat()
        return json.dumps({"time": at, "level": level, "event": f"{level} of then"}) + "\n"

    path.write_text("Starting PostgreSQL …\n" + line(90, "error") + line(5, "info") + '{"time": "cut o')
    assert look(name, log=path).text.startswith("1 lines since")
    path.write_text(line(90, "error") + line(5, "info") + line(4, "error"))
    assert failing(look(name, log=path), "1 of 2 lines", "error of then (1)")
    path.write_text("worker: Warm shutdown\n" + line(90, "info"))
    assert failing(look(name, log=path), "no line of ours")
    assert look(name).state is State.NOT_HERE


@pytest.mark.usefixtures("bare")
def test_an_alert_that_fires_fails() -> None:
    alert = '{{"data": {{"alerts": [{{"state": "{}", "labels": {{"alertname": "OutboxLate"}}}}]}}}}'
    with saying(alert.format("firing")) as url:
        assert failing(look("No alert fires", prometheus_url=url), "OutboxLate")
    with saying(alert.format("pending")) as url:
        assert look("No alert fires", prometheus_url=url).state is State.PASS
    assert look("No alert fires").state is State.NOT_HERE


@pytest.mark.usefixtures("bare")
def test_a_way_back_that_nobody_wrote_down_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "DOCS", tmp_path)
    (tmp_path / "operations.md").write_text("# Operations\nBackups are made at night.\n")
    assert failing(look("The way back is documented"), "roll back")
    (tmp_path / "operations.md").write_text("# Operations\n## Rollback\n")
    assert "line 2" in look("The way back is documented").text
    monkeypatch.setattr(readiness, "DOCS", tmp_path / "none")
    assert look("The way back is documented").state is State.NOT_HERE
