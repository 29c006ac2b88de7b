"""Where panels send who asks what to do: files of observability/runbooks, by what they are about."""

from __future__ import annotations

from enum import StrEnum

# A variable of every dashboard. Where the files can be read differs between clinics and is said once, to Prometheus
# (RUNBOOKS_URL); the alert that is always there repeats it as a label.
VARIABLE = "runbooks"
WHERE = f'label_values(ALERTS{{alertname="Watchdog"}}, {VARIABLE})'


class Runbook(StrEnum):
    """The file's name without its ending."""

    BACKUPS = "backups"
    HOST = "host"
    MONITORING = "monitoring"
    POSTGRES = "postgres"
    PRIVACY = "privacy"
    QUEUES = "queues"
    REDIS = "redis"
    SLO = "slo"
    TRAIL = "trail"
    WEB = "web"


def runbook_url(runbook: Runbook) -> str:
    return f"${{{VARIABLE}:raw}}/{runbook}.md"
