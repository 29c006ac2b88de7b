"""The two files of what watches that differ between clinics: whom alerts reach, and where one is asked from outside.
Made from those in observability/, so that everything else in them stays said once."""

from __future__ import annotations

import re
from pathlib import Path

from config_urls import SmtpServer
from installing.files import InstallError

WEBHOOK = re.compile(r"    webhook_configs:\n(?:      .*\n)+")


def alertmanager(top: Path, server: SmtpServer, alerts_to: str, watchdog_url: str) -> str:
    """Alertmanager's file for this clinic. Without ``watchdog_url`` nobody is sent signs of life."""
    text = (top / "observability" / "alertmanager" / "alertmanager.yml").read_text()
    for before, after in (
        ("smtp_smarthost: smtp.example.org:587", f"smtp_smarthost: {_quoted(f'{server.host}:{server.port}')}"),
        ("smtp_from: sigilo@example.org", f"smtp_from: {_quoted(server.sender)}"),
        ("smtp_auth_username: sigilo@example.org", f"smtp_auth_username: {_quoted(server.login or '')}"),
        ("to: plantao@example.org", f"to: {_quoted(alerts_to)}"),
        ("to: sistemas@example.org", f"to: {_quoted(alerts_to)}"),
        ("url: https://watchdog.example.org/sigilo", f"url: {_quoted(watchdog_url)}"),
    ):
        text = _replaced(text, before, after)
    if server.login is None:
        text = re.sub(r"  smtp_auth_.*\n", "", text)
    if server.tls == "none":
        text = _replaced(text, "smtp_require_tls: true", "smtp_require_tls: false")
    return text if watchdog_url else WEBHOOK.sub("", text)


def public_targets(public_url: str, *, is_internal: bool) -> str:
    """Prometheus' file of what is asked for from outside. ``is_internal``: its certificate is from the proxy's own
    authority, which nobody else knows, and lives for half a day."""
    labels = "  labels: {__param_module: readyz_own_authority, renewed: hourly}\n" if is_internal else ""
    return f"# PUBLIC_URL and /readyz.\n- targets: [{_quoted(f'{public_url}/readyz')}]\n{labels}"


def _replaced(text: str, before: str, after: str) -> str:
    if before not in text:
        raise InstallError(f"observability/alertmanager/alertmanager.yml lacks “{before}”: this copy is not whole")
    return text.replace(before, after)


def _quoted(value: str) -> str:
    """As YAML takes any text."""
    return "'" + value.replace("'", "''") + "'"
