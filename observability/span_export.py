"""The library behind tracing.py: sampling, a bounded queue, and a thread that hands spans to the collector.

Imported only where tracing is on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import requests
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from observability.sampling import sampler_of

PATH = "/v1/traces"
# Of one batch. A collector that hangs holds its thread this long and no request; what comes meanwhile waits in a queue
# of 2,048 spans, and of more the oldest are forgotten.
SEND_SECONDS = 3.0

log = structlog.get_logger()


class Delivery(SpanExporter):
    """Says once that spans do not arrive, and once that they do again; the library says it at every batch, and quotes
    the address, which may hold a secret."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._arrives = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        arrives = result is SpanExportResult.SUCCESS
        if arrives and not self._arrives:
            log.info("spans arrive again")
        elif self._arrives and not arrives:
            log.warning("spans do not arrive: OTEL_EXPORTER_OTLP_ENDPOINT does not take them")
        self._arrives = arrives
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


def make_provider(endpoint: str, *, ratio: float, service: str) -> TracerProvider:
    """A provider of this process alone. It is not the library's global one, which other packages would write to."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    # What leaves goes to the configured place alone: no redirect, no proxy or password from the environment.
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + PATH, timeout=SEND_SECONDS, session=session)
    provider = TracerProvider(
        sampler=sampler_of(ratio),
        resource=Resource.create({"service.namespace": "sigilo", "service.name": service}),
        shutdown_on_exit=False,  # waits half a minute; stop_tracing does not
    )
    provider.add_span_processor(BatchSpanProcessor(Delivery(exporter)))
    return provider
