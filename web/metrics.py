"""Requests counted by route, and ``/metrics`` for Prometheus: from allowed networks, or with a token."""

from __future__ import annotations

import hmac

from flask import Flask, Request, Response, current_app, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics

from observability.metrics import render
from services.errors import Forbidden
from web.client_address import is_within, parse_address
from web.guards import PUBLIC, Limit, Routes
from web.runtime import runtime

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EXTENSION = "metrics_registry"

routes = Routes("metrics")


def url_rule(incoming: Request) -> str:
    """The rule and never the path, which would leak identifiers into labels."""
    return "none" if incoming.url_rule is None else incoming.url_rule.rule


def register_metrics(app: Flask) -> None:
    registry = CollectorRegistry()
    app.extensions[EXTENSION] = registry
    PrometheusMetrics(app, path=None, group_by=url_rule, buckets=BUCKETS, registry=registry, defaults_prefix="sigilo")


def show_metrics() -> Response:
    settings = runtime().settings
    token = settings.metrics_token.get_secret_value()
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    address = parse_address(g.address or "")
    by_token = bool(token) and hmac.compare_digest(given.encode(), token.encode())
    if not by_token and (address is None or not is_within(address, settings.metrics_networks)):
        raise Forbidden("Metrics are for the networks in METRICS_NETWORKS, or with METRICS_TOKEN.")
    return Response(render(current_app.extensions[EXTENSION]), content_type=CONTENT_TYPE_LATEST)


routes.add("/metrics", view=show_metrics, guard=PUBLIC, limit=Limit.NONE)
