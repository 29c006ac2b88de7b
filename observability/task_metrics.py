"""What background work counts for Prometheus: runs of tasks by name, and events sealed."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

TASK_SECONDS = Histogram(
    "sigilo_task_seconds",
    "Duration of background tasks",
    ["task", "outcome"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600),
)
TASK_RETRIES = Counter("sigilo_task_retries_total", "Runs of background tasks that will be tried again", ["task"])
EVENTS_SEALED = Counter("sigilo_audit_events_sealed_total", "Audit events moved from the outbox into the trail")
