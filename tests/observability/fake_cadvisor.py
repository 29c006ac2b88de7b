"""What cAdvisor tells of a machine with containers, over HTTP: no package brings it, and there are no containers here.

Names, types, units and labels are those of docs/storage/prometheus.md of google/cadvisor (CPU, memory, specification
and start); as there, the machine itself and its services are groups without a name or image.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from tests.http_server import serving

MIB = 1024 * 1024
# Processors used, MiB used, MiB allowed (0: no limit), share of the time that it is held back (None: no quota).
CONTAINERS = {
    "sigilo-web-blue-1": (0.4, 310, 1024, 0.01),
    "sigilo-postgres-1": (0.6, 900, 2048, 0.0),
    "sigilo-ollama-1": (2.0, 3900, 6144, 0.4),
}
GROUPS = {"/": (3.2, 6200, 0, None), "/system.slice/ssh.service": (0.01, 12, 0, None)}
LABELS = ("id", "image", "name")


class _Told:
    """A collector of figures that rise with the time since ``since``, in seconds of the epoch."""

    def __init__(self, since: float) -> None:
        self._since = since

    def collect(self) -> Iterator[Metric]:
        used = CounterMetricFamily(
            "container_cpu_usage_seconds", "Cumulative cpu time consumed", labels=(*LABELS, "cpu")
        )
        held = CounterMetricFamily(
            "container_cpu_cfs_throttled_seconds", "Total time duration the container has been throttled", labels=LABELS
        )
        working = GaugeMetricFamily("container_memory_working_set_bytes", "Current working set", labels=LABELS)
        limit = GaugeMetricFamily("container_spec_memory_limit_bytes", "Memory limit", labels=LABELS)
        start = GaugeMetricFamily("container_start_time_seconds", "Start time since unix epoch", labels=LABELS)
        seconds = time.time() - self._since
        for labels, (processors, mebibytes, allowed, throttled) in self._known():
            used.add_metric((*labels, "total"), processors * seconds)
            working.add_metric(labels, mebibytes * MIB)
            limit.add_metric(labels, allowed * MIB)
            start.add_metric(labels, self._since)
            if throttled is not None:
                held.add_metric(labels, throttled * seconds)
        yield from (used, held, working, limit, start)

    def _known(self) -> Iterator[tuple[tuple[str, str, str], tuple[float, int, int, float | None]]]:
        for group, figures in GROUPS.items():
            yield (group, "", ""), figures
        for name, container in CONTAINERS.items():
            number = hashlib.sha256(name.encode()).hexdigest()
            yield (f"/system.slice/docker-{number}.scope", f"{name.split('-')[1]}:1", name), container


@contextmanager
def fake_cadvisor() -> Iterator[str]:
    """Where it listens."""
    registry = CollectorRegistry()
    registry.register(_Told(time.time()))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = generate_latest(registry)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler), threading.Event()) as server:
        yield f"127.0.0.1:{server.server_address[1]}"
