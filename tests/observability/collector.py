"""A collector that speaks OTLP over HTTP on loopback: it keeps every byte it is sent, or never answers.

Source: OpenTelemetry Protocol 1.x, "OTLP/HTTP" (POST /v1/traces, binary protobuf).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan

from models.raw_connection import RawConnection
from observability.sql_spans import trace_statements
from observability.tracing import start_tracing, stop_tracing
from tests.http_server import serving

SERVER, PRODUCER, CONSUMER = SentSpan.SPAN_KIND_SERVER, SentSpan.SPAN_KIND_PRODUCER, SentSpan.SPAN_KIND_CONSUMER


@dataclass(frozen=True)
class Received:
    """One span. Ids are hexadecimal; ``parent`` of a root is empty; ``links`` are trace ids."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    links: tuple[str, ...]
    is_error: bool


class FakeCollector(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *, hangs: bool, redirects_to: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hangs = hangs
        self.redirects_to = redirects_to
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def spans(self) -> list[Received]:
        return [span for body in list(self.bodies) for span in decoded(body)]

    def tree(self, trace: str) -> list[Received]:
        return [span for span in self.spans if span.trace == trace]


class _Handler(BaseHTTPRequestHandler):
    server: FakeCollector
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.paths.add(self.path)
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.hangs:
            self.server.closing.wait()
        if self.server.redirects_to:
            self.send_response(307)
            self.send_header("Location", self.server.redirects_to)
        else:
            self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def decoded(body: bytes) -> Iterator[Received]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = next(each.value.string_value for each in resource.resource.attributes if each.key == "service.name")
        for scope in resource.scope_spans:
            for span in scope.spans:
                assert not span.events, "events hold exceptions' texts"
                assert not span.status.message
                values = {
                    each.key: getattr(each.value, each.value.WhichOneof("value") or "") for each in span.attributes
                }
                yield Received(
                    service, span.name, span.kind, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
                    values, tuple(link.trace_id.hex() for link in span.links), span.status.code == 2,
                )  # fmt: skip


@contextmanager
def tracing_to(collector: FakeCollector) -> Iterator[None]:
    """This process traces; everything that it traced in the block has arrived after it."""
    assert start_tracing(collector.url, ratio=1.0, service="sigilo-tests")
    trace_statements((RawConnection, "first_row"))
    try:
        yield
    finally:
        stop_tracing()


@contextmanager
def collecting(*, hangs: bool = False, redirects_to: str = "") -> Iterator[FakeCollector]:
    made = FakeCollector(hangs=hangs, redirects_to=redirects_to)
    with serving(made, made.closing) as server:
        yield server
