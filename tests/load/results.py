"""Results of ``make load`` as tests want them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from config import PRODUCT_VERSION
from embedded.load_baseline import FORMAT


def make_result(**changes: Any) -> dict[str, Any]:
    """Of a whole run without a fault, with ``changes``."""
    figures = {"count": 1_000, "errors": 0, "p50": 20.0, "p90": 40.0, "p95": 60.0, "p99": 90.0, "slowest": 200.0}
    result: dict[str, Any] = {
        "format": FORMAT, "product": PRODUCT_VERSION, "at": datetime.now(UTC).isoformat(), "users": 100,
        "roles": {"doctor": 60, "nurse": 40}, "think_seconds": [5.0, 20],
        "records": 10_000, "seconds": 301.0, "requests": 2_009, "per_second": 6.7, "errors": 0, "problems": [],
        "hello_per_second": 1_000.0,
        "groups": {"pages": figures, "live parts": figures, "api": {**figures, "count": 9}},
        "trail": {"acts": 5_000, "events": 9_000, "problems": []},
        "statements": {"over_100_ms": 0, "slowest_ms": 40.0},
    }  # fmt: skip
    return result | changes
