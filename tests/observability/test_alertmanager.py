"""Whom alerts reach, and what they read: Debian's Alertmanager with our configuration, mailing over loopback."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml

from tests import plain_http
from tests.installation import free_port
from tests.integrations.test_mail import Inbox, smtp
from tests.observability.alert_rules import ROOT, all_alerts, programs

FOLDER = ROOT / "observability" / "alertmanager"
CONFIGURATION = FOLDER / "alertmanager.yml"
# Where mail about an alert of this severity goes.
RECEIVERS = {"critical": "pages", "warning": "warnings", "info": "daily", "none": "watchdog"}
SECONDS = 20.0
T = TypeVar("T")


def configuration() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    return loaded


def amtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([programs() / "amtool", *arguments], capture_output=True, text=True, check=False)


def test_alertmanager_takes_the_configuration_and_its_templates() -> None:
    checked = amtool("check-config", CONFIGURATION)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "1 templates" in checked.stdout


@pytest.mark.parametrize("severity", RECEIVERS)
def test_alerts_go_by_their_severity(severity: str) -> None:
    name = "Watchdog" if severity == "none" else "SomeAlert"
    ran = amtool(
        "config", "routes", "test", f"--config.file={CONFIGURATION}", f"--verify.receivers={RECEIVERS[severity]}",
        f"alertname={name}", f"severity={severity}", "family=web",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_has_no_known_severity_is_mailed_all_the_same() -> None:
    ran = amtool("config", "routes", "test", f"--config.file={CONFIGURATION}", "alertname=Unknown")
    assert ran.stdout.strip() == "warnings"


def test_every_alert_has_a_severity_that_has_a_route() -> None:
    assert {alert["labels"]["severity"] for _, alert in all_alerts()} == set(RECEIVERS)


def test_pages_come_at_once_and_information_in_the_morning() -> None:
    routes = {route["receiver"]: route for route in configuration()["route"]["routes"]}
    assert routes["pages"]["group_wait"] == "10s"
    assert "active_time_intervals" not in routes["pages"]
    assert routes["daily"]["active_time_intervals"] == ["morning"]


def test_what_is_held_back_is_held_back_by_alerts_that_exist() -> None:
    names = {alert["alert"]: alert["labels"]["severity"] for _, alert in all_alerts()}
    for rule in configuration()["inhibit_rules"]:
        (source,) = (named(matcher) for matcher in rule["source_matchers"])
        targets = [pattern for pattern in map(named, rule["target_matchers"]) if pattern]
        for pattern in (source, *targets):
            for each in alternatives(pattern):
                assert any(re.fullmatch(each, name) for name in names), each
        # Nothing that calls somebody is held back by what does not.
        assert {names[name] for name in names if re.fullmatch(source, name)} == {"critical"}


def test_nothing_holds_back_what_says_that_the_trail_was_altered() -> None:
    held_back = [named(m) for rule in configuration()["inhibit_rules"] for m in rule["target_matchers"]]
    assert not any(re.fullmatch(pattern, "AuditVerificationFailed") for pattern in held_back if pattern)


def named(matcher: str) -> str:
    """The pattern of alert names in a matcher; "" in one of something else."""
    label, value = re.fullmatch(r'(\w+) =~? "(.+)"', matcher).groups()  # type: ignore[union-attr]
    return str(value) if label == "alertname" else ""


def alternatives(pattern: str) -> list[str]:
    return pattern.split("|")


def test_passwords_and_tokens_are_only_in_files() -> None:
    text = CONFIGURATION.read_text()
    assert re.findall(r"\w*(?:password|credentials|secret|token)\w*:", text) == [
        "smtp_auth_password_file:", "credentials_file:",
    ]  # fmt: skip


@dataclass(frozen=True)
class Alertmanager:
    url: str
    inbox: Inbox

    def post(self, *alerts: tuple[str, dict[str, str]], is_over: bool = False) -> None:
        """As Prometheus does: what rules say, of these labels; or that it is over."""
        rules = {alert["alert"]: alert for _, alert in all_alerts()}
        now = datetime.now(UTC)
        sent = [
            {
                "labels": {"alertname": name, **rules[name]["labels"], **labels},
                "annotations": {key: filled(text, labels) for key, text in rules[name]["annotations"].items()},
                "startsAt": (now - timedelta(minutes=1)).isoformat(),
                **({"endsAt": now.isoformat()} if is_over else {}),
            }
            for name, labels in alerts
        ]
        httpx.post(f"{self.url}/api/v2/alerts", json=sent).raise_for_status()

    def mails(self) -> list[EmailMessage]:
        given = (bytes(envelope.original_content or b"") for envelope in self.inbox.envelopes)
        return [message_from_bytes(content, policy=policy.default) for content in given]

    def mail(self, start: str) -> EmailMessage:
        """The mail whose subject begins like this, once it came."""

        def found() -> EmailMessage | None:
            return next((mail for mail in self.mails() if mail["Subject"].startswith(start)), None)

        return until(found, f"a mail {start!r}; there are {[mail['Subject'] for mail in self.mails()]}")

    def inhibited(self) -> dict[str, bool]:
        """Alert → whether another holds it back."""
        alerts = httpx.get(f"{self.url}/api/v2/alerts").raise_for_status().json()
        return {alert["labels"]["alertname"]: bool(alert["status"]["inhibitedBy"]) for alert in alerts}


def filled(text: str, labels: dict[str, str]) -> str:
    text = text.replace("{{ $externalLabels.runbooks }}", "https://runbooks.example")
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: labels[match[1]], text)


def until(ask: Callable[[], T | None], what: str) -> T:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        answer = ask()
        if answer is not None:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"no {what}")


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    folder, inbox = tmp_path_factory.mktemp("alertmanager"), Inbox()
    with smtp(inbox) as mail_port:
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(for_loopback(mail_port)))
        (folder / "templates").symlink_to(FOLDER / "templates")
        with running(folder) as url:
            yield Alertmanager(url, inbox)


def for_loopback(mail_port: int) -> dict[str, Any]:
    """The project's configuration, over another mail server, and with less patience."""
    found = configuration()
    found["global"] = {
        "smtp_smarthost": f"127.0.0.1:{mail_port}", "smtp_from": "sigilo@example.org", "smtp_require_tls": False
    }  # fmt: skip
    for route in (found["route"], *found["route"]["routes"]):
        route |= {"group_wait": "500ms", "group_interval": "1s"}
    return found


@contextmanager
def running(folder: Path) -> Iterator[str]:
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                programs() / "prometheus-alertmanager", f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=log, stderr=log, cwd=programs().parent / "share" / "prometheus" / "alertmanager",
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool | None:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return plain_http.get(f"{url}/-/ready").is_success or None
        except httpx.TransportError:
            return None

    try:
        until(is_ready, "answer of Alertmanager")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def test_a_page_says_in_portuguese_what_is_wrong_and_where_to_read_what_to_do(alertmanager: Alertmanager) -> None:
    down = ("PostgresDown", {"job": "postgres", "instance": "db-1"})
    alertmanager.post(down, ("ClinicUnreachable", {"job": "blackbox", "probe": "readyz", "instance": "https://clinic"}))
    mail = alertmanager.mail("[Sigilo] CRÍTICO: O banco de dados não responde (db-1)")
    assert mail["To"] == "plantao@example.org"
    assert mail["X-Priority"] == "1"
    for kind in ("plain", "html"):
        part = mail.get_body((kind,))
        assert part is not None
        text = part.get_content()
        assert "https://runbooks.example/postgres.md#postgresdown" in text
        assert "Everything that is true lies there." in text
        assert "Está acontecendo" in text
    # That nobody reaches the clinic follows from it, and is no second page.
    assert alertmanager.inhibited() == {"PostgresDown": False, "ClinicUnreachable": True}

    alertmanager.post(down, is_over=True)
    over = alertmanager.mail("[Sigilo] Resolvido: O banco de dados não responde (db-1)")
    assert "Já passou" in over.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_warnings_of_one_family_are_one_mail(alertmanager: Alertmanager) -> None:
    place = {"job": "redis", "instance": "redis-1"}
    alertmanager.post(("RedisMemoryHigh", place), ("RedisRejectsConnections", place))
    mail = alertmanager.mail("[Sigilo] Aviso:")
    assert mail["To"] == "sistemas@example.org"
    assert mail["Subject"].endswith("(+1)")
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "redis.md#redismemoryhigh" in text
    assert "redis.md#redisrejectsconnections" in text
