"""One span a request, named by its route: method, route, status, request id, role, and nothing else of it.

OpenTelemetry's own instrumentor for Flask takes the path, the query and the caller's address, and goes on with
whatever trace a caller names. Here every request begins a trace of its own, so nobody outside decides what is sampled;
of a caller with a token the ``traceparent`` becomes a link, by which an integrator finds ours.
"""

from __future__ import annotations

from multiprocessing.util import Finalize
from typing import Any

from flask import Flask, Response, g, request

from config import Settings
from models.raw_connection import RawConnection
from observability.sql_spans import trace_statements
from observability.tracing import TRACEPARENT, begin_span, is_tracing, span_context_of, start_tracing, stop_tracing
from web.guards import Limit, Route, route_table
from web.proxies import real
from web.request_log import KNOWN_METHODS

# What open pages ask once a second, health and static files: nobody's act, and more than all the rest.
UNTRACED = (Limit.NONE, Limit.LIVE)


def register_tracing(app: Flask, settings: Settings) -> None:
    """The hooks, where an address is set; else none. Before all others: the first in, the last out."""
    if not settings.otel_exporter_otlp_endpoint:
        return
    if start_tracing(
        settings.otel_exporter_otlp_endpoint, ratio=settings.otel_traces_sampler_arg, service="sigilo-web"
    ):
        trace_statements((RawConnection, "first_row"))
        # A process of granian's is a child of multiprocessing's, which runs these at its end and no atexit.
        Finalize(None, stop_tracing, exitpriority=0)
    spans = RequestSpans(app)
    app.before_request(spans.begin)
    app.after_request(spans.describe)
    app.teardown_request(spans.end)


class RequestSpans:
    """The hooks of one application."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def begin(self) -> None:
        route = self._route()
        if not is_tracing() or (route is not None and route.limit in UNTRACED):
            return
        from opentelemetry import context, trace

        method = _method()
        name = method if route is None else f"{method} {route.rule}"
        made = begin_span(name, "server", {"http.request.method": method}, is_root=True)
        g.span = made, context.attach(trace.set_span_in_context(made))

    def _route(self) -> Route | None:
        return route_table(self._app).get(request.endpoint or "")

    def describe(self, response: Response) -> Response:
        """What is known when everything else has been done."""
        state = real(g)
        if "span" not in state:
            return response
        made, _ = state.span
        if not made.is_recording():
            return response
        from opentelemetry.trace import StatusCode

        made.set_attribute("http.response.status_code", response.status_code)
        made.set_attribute("sigilo.request.id", state.request_id)
        if state.route is not None:
            made.set_attribute("http.route", state.route.rule)
        identity = state.get("identity")
        if identity is not None:
            made.set_attribute("sigilo.role", identity.role)
            theirs = span_context_of(request.headers.get(TRACEPARENT)) if identity.token_id is not None else None
            if theirs is not None:
                made.add_link(theirs)
        if response.status_code >= 500:
            made.set_status(StatusCode.ERROR)
            made.set_attribute("error.type", str(response.status_code))
        return response

    def end(self, _: BaseException | None) -> None:
        found: tuple[Any, Any] | None = g.pop("span", None)
        if found is not None:
            from opentelemetry import context

            made, token = found
            context.detach(token)
            made.end()


def _method() -> str:
    method: str = request.environ["REQUEST_METHOD"]
    return method if method in KNOWN_METHODS else "OTHER"
