"""What background work counts for Prometheus: duration by task, and events sealed."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

TASK_SECONDS = Histogram(
    "sigilo_task_seconds",
    "Duration of background tasks",
    ["task", "outcome"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600),
)
EVENTS_SEALED = Counter("sigilo_audit_events_sealed_total", "Audit events moved from the outbox into the trail")
