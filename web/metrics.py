"""Requests counted by route, and ``/metrics`` for Prometheus: from allowed networks, or with a token."""

from __future__ import annotations

import hmac
import math
from time import perf_counter
from typing import Any

from flask import Flask, Response, current_app, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram
from prometheus_flask_exporter import PrometheusMetrics

from observability.metrics import DEAD_LETTERS, render
from services.dead_letter_list import count_open
from services.errors import Forbidden
from web.client_address import is_trusted_proxy, is_within, parse_address
from web.guards import PUBLIC, Limit, Routes
from web.request_log import KNOWN_METHODS, real
from web.runtime import runtime

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EXTENSION = "metrics_registry"

routes = Routes("metrics")


class RouteMetrics(PrometheusMetrics):  # type: ignore[misc]
    """The exporter's request histogram, kept by rule and never by path, which would leak identifiers.

    The exporter's own hook looks every label up anew at each request, which costs as much as a look-up in
    Redis; this one keeps what it found. There are as many as routes, methods and statuses.
    """

    def export_defaults(self, *_: Any, app: Flask, **__: Any) -> None:
        durations = Histogram(
            "sigilo_http_request_duration_seconds",
            "Duration of requests",
            ("method", "url_rule", "status"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        found: dict[tuple[str, str | None, int], Any] = {}

        @app.after_request
        def observe(response: Response) -> Response:
            state, method = real(g), request.environ["REQUEST_METHOD"]
            rule = None if state.route is None else state.route.rule
            key = (method if method in KNOWN_METHODS else "OTHER", rule, response.status_code)
            child = found.get(key)
            if child is None:
                child = found[key] = durations.labels(key[0], rule or "none", str(key[2]))
            child.observe(perf_counter() - state.started)
            return response


def register_metrics(app: Flask) -> None:
    registry = CollectorRegistry()
    app.extensions[EXTENSION] = registry
    RouteMetrics(app, path=None, registry=registry)


def show_metrics() -> Response:
    settings = runtime().settings
    token = settings.metrics_token.get_secret_value()
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    # Behind a proxy that is not in TRUSTED_PROXIES everybody seems to come from the proxy's own network.
    is_forwarded = "X-Forwarded-For" in request.headers and not is_trusted_proxy(
        request.remote_addr, settings.trusted_proxies
    )
    address = None if is_forwarded else parse_address(g.address or "")
    by_token = bool(token) and hmac.compare_digest(given.encode(), token.encode())
    if not by_token and (address is None or not is_within(address, settings.metrics_networks)):
        raise Forbidden("Metrics are for the networks in METRICS_NETWORKS, or with METRICS_TOKEN.")
    count = count_open(runtime().databases)
    DEAD_LETTERS.set(math.nan if count is None else count)
    return Response(render(current_app.extensions[EXTENSION]), content_type=CONTENT_TYPE_LATEST)


routes.add("/metrics", view=show_metrics, guard=PUBLIC, limit=Limit.NONE)
