"""Clients of what lies outside this process.

redis-py imports OpenTelemetry's metrics wherever it finds them installed: 0.3 s and 2 MB in each process, tracing on
or off, for figures that nobody asks it for. So it is imported here, before anything else imports it, as if they were
not there.
"""

from __future__ import annotations

import sys

if "redis" not in sys.modules and "opentelemetry" not in sys.modules:
    sys.modules["opentelemetry"] = None  # type: ignore[assignment]  # Python's way to say: there is no such module
    try:
        import redis  # noqa: F401
    finally:
        del sys.modules["opentelemetry"]
