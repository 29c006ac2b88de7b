"""What a scheduler process says of itself; the slots themselves are read from the database (state_metrics.py)."""

from __future__ import annotations

from prometheus_client import Gauge

LEADER = Gauge("sigilo_scheduler_leader", "1 in the scheduler that leads, 0 in one that stands by")
