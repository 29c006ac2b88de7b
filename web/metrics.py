"""Requests counted by route, and ``/metrics`` for Prometheus: from allowed networks, or with a token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from flask import Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Histogram
from prometheus_flask_exporter import PrometheusMetrics

from config import PRODUCT_VERSION
from integrations.broker import BrokerUnavailable
from integrations.queues import Queues
from observability.exemplars import Exemplars, Labels
from observability.exposition import render
from observability.metrics import IN_PROGRESS, REQUEST_BUCKETS, REQUEST_SECONDS
from observability.metrics_access import ONLY_FOR, may_read_metrics
from observability.state_metrics import build_family, state_families
from observability.tracing import is_tracing
from services.errors import Forbidden
from services.state_measure import Readings, measure_state
from web.client_address import is_trusted_proxy, parse_address
from web.guards import PUBLIC, Limit, Routes
from web.health import optional_findings
from web.proxies import real
from web.request_log import KNOWN_METHODS
from web.runtime import runtime

EXTENSION = "sigilo-metrics"
LABELS = ("method", "url_rule", "status")

routes = Routes("metrics")


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one application counts, and whom it asks when somebody scrapes."""

    registry: CollectorRegistry
    exemplars: Exemplars
    queues: Queues


class RouteMetrics(PrometheusMetrics):  # type: ignore[misc]
    """The exporter's request histogram, kept by rule and never by path, which would leak identifiers.

    The exporter's own hook looks every label up anew at each request, which costs as much as a look-up in
    Redis; this one keeps what it found. There are as many as routes, methods and statuses.
    """

    def __init__(self, app: Flask, exemplars: Exemplars, registry: CollectorRegistry) -> None:
        self._exemplars = exemplars
        super().__init__(app, path=None, registry=registry)

    def export_defaults(self, *_: Any, app: Flask, **__: Any) -> None:
        durations = request_histogram(self.registry)
        found: dict[tuple[str, str | None, int], tuple[Any, Labels]] = {}

        @app.after_request
        def observe(response: Response) -> Response:
            state, method = real(g), real(request).environ["REQUEST_METHOD"]
            rule = None if state.route is None else state.route.rule
            key = (method if method in KNOWN_METHODS else "OTHER", rule, response.status_code)
            known = found.get(key)
            if known is None:
                named: Labels = (key[0], rule or "none", str(key[2]))
                known = found[key] = durations.labels(*named), named
            child, labels = known
            seconds = perf_counter() - state.started
            child.observe(seconds)
            if is_tracing() and "span" in state:
                made, _ = state.span
                if made.is_recording():
                    self._exemplars.note(labels, seconds, f"{made.get_span_context().trace_id:032x}")
            return response


def request_histogram(registry: CollectorRegistry | None) -> Histogram:
    return Histogram(REQUEST_SECONDS, "Duration of requests", LABELS, buckets=REQUEST_BUCKETS, registry=registry)


def count_in_progress(app: Flask) -> None:
    """Before every other hook, one of which may answer in the place of those after it."""

    @app.before_request
    def begin() -> None:
        IN_PROGRESS.inc()
        real(g).is_in_progress = True

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        if real(g).pop("is_in_progress", False):
            IN_PROGRESS.dec()


def register_metrics(app: Flask) -> None:
    settings = app.extensions["sigilo"].settings
    registry, exemplars = CollectorRegistry(), Exemplars(REQUEST_SECONDS, LABELS, REQUEST_BUCKETS)
    app.extensions[EXTENSION] = Metrics(registry, exemplars, Queues(settings.redis_url.get_secret_value()))
    RouteMetrics(app, exemplars, registry)


def show_metrics() -> Response:
    settings = runtime().settings
    # Behind a proxy that is not in TRUSTED_PROXIES everybody seems to come from the proxy's own network.
    is_forwarded = "X-Forwarded-For" in request.headers and not is_trusted_proxy(
        request.remote_addr, settings.trusted_proxies
    )
    if not may_read_metrics(
        None if is_forwarded else parse_address(g.address or ""),
        request.headers.get("Authorization", ""),
        networks=settings.metrics_networks,
        token=settings.metrics_token.get_secret_value(),
    ):
        raise Forbidden(ONLY_FOR)
    here: Metrics = current_app.extensions[EXTENSION]
    body, content_type = render(
        request.headers.get("Accept", ""),
        here.registry,
        more=[build_family(PRODUCT_VERSION), *state_families(_readings(here))],
        change=here.exemplars.added_to,
    )
    return Response(body, content_type=content_type)


def _readings(here: Metrics) -> Readings:
    found = measure_state(runtime().databases, runtime().settings, datetime.now(UTC))
    try:
        depths, ages = here.queues.depths_and_ages()
    except BrokerUnavailable:
        pass
    else:
        found |= {"sigilo_queue_depth": depths, "sigilo_queue_oldest_age_seconds": ages}
    model = optional_findings(runtime()).get("model")
    if model is not None and model.status != "unknown":
        found["sigilo_ai_model_up"] = model.status == "ok"
    return found


routes.add("/metrics", view=show_metrics, guard=PUBLIC, limit=Limit.NONE)
