"""Quotas of requests. Bearer calls are counted directly; everybody else's through Flask-Limiter.

Both spend from ``services/quota.py`` with one script call. Flask-Limiter gets a storage of ours, which counts
there; the rate and the key of a request are what the gate put into ``g``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, g
from flask_limiter import ApplicationLimit, Limiter, RateLimitExceeded
from limits.storage import Storage

from config import Settings, parse_rate
from observability.metrics import RATE_LIMITED
from services.authenticate import Identity
from services.errors import QuotaExceeded
from services.login_failures import address_key
from services.quota import Bucket, Decision, Quotas
from services.quota_log import Spender
from web.guards import Limit
from web.problems import on_service_error
from web.proxies import real
from web.runtime import runtime

TOO_MANY = "Too many requests. Wait for the number of seconds in Retry-After and try again."


class SharedQuota(Storage):
    """The storage behind Flask-Limiter: counts where bearer calls are counted, in the same one call."""

    STORAGE_SCHEME = ["sigilo"]  # noqa: RUF012  (limits' own way to register a storage)

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, *, quotas: Any = None) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._quotas: Quotas = quotas

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Requests in the window: above the limit exactly when this one is refused."""
        limit, seconds = parse_rate(g.rate)
        decision = self._quotas.spend(g.quota_key, limit, seconds)
        g.decision = decision
        return min(limit, limit - decision.remaining) if decision.allowed else limit + 1

    def get(self, key: str) -> int:
        decision: Decision | None = g.get("decision")
        return 0 if decision is None else decision.limit - decision.remaining

    def get_expiry(self, key: str) -> float:
        decision: Decision | None = g.get("decision")
        return 0.0 if decision is None else decision.reset_ms / 1000

    def check(self) -> bool:
        return not self._quotas.is_degraded

    def reset(self) -> int | None:
        return None

    def clear(self, key: str) -> None:
        """Counts end with their window."""


def register_limiter(app: Flask) -> Callable[[], None]:
    """Flask-Limiter over ``app``: gives the check of one request, which raises RateLimitExceeded.

    Its hooks would run on bearer calls too, which are counted already, so the gate calls the check instead.
    """
    limiter = Limiter(
        key_func=lambda: g.quota_key,
        application_limits=[ApplicationLimit(lambda: g.rate)],
        storage_uri="sigilo://",
        storage_options={"quotas": app.extensions["sigilo"].quotas},
        strategy="fixed-window",
        request_identifier=lambda: "request",  # one limit for all: an unknown address counts as well
        headers_enabled=False,
    )
    limiter.init_app(app)
    check: Callable[[], None] = app.before_request_funcs[None].pop()  # type: ignore[assignment]
    app.after_request_funcs[None].pop()  # writes headers of its own kind, were they enabled
    app.teardown_request_funcs[None].pop()  # empties a context that ends with the request anyway
    app.register_error_handler(RateLimitExceeded, on_exceeded)
    return check


def on_exceeded(_: RateLimitExceeded) -> Any:
    """Flask-Limiter's refusal, as a service would say it."""
    note_decision(g.bucket, g.decision)
    return on_service_error(refusal(g.bucket, g.decision))


def spend_api_quota(settings: Settings, identity: Identity) -> None:
    """Count a bearer call against the token's quota, else its user's, else the default. Raises QuotaExceeded."""
    rate = identity.token_quota or identity.user_quota or settings.rate_limit_default
    limit, seconds = parse_rate(rate)
    owner = f"t:{identity.token_id}" if identity.token_quota else f"u:{identity.user_id}"
    decision = runtime().quotas.spend(f"api:{owner}", limit, seconds)
    state = real(g)
    state.bucket, state.decision = Bucket.API, decision
    if not decision.allowed or decision.is_near:
        note_decision(Bucket.API, decision)
        if not decision.allowed:
            raise refusal(Bucket.API, decision)


def choose_bucket(settings: Settings, identity: Identity | None, limit: Limit | None) -> None:
    """Say which bucket Flask-Limiter counts this request in, and at what rate."""
    if limit is Limit.LOGIN:
        bucket, rate, owner = Bucket.LOGIN, settings.rate_limit_login, f"ip:{address_key(g.address)}"
    elif identity is None:
        bucket, rate, owner = Bucket.ANONYMOUS, settings.rate_limit_anonymous, f"ip:{address_key(g.address)}"
    elif limit is Limit.LIVE:
        bucket, rate, owner = Bucket.LIVE, settings.rate_limit_live, f"u:{identity.user_id}"
    else:
        bucket, rate, owner = Bucket.PAGES, settings.rate_limit_pages, f"u:{identity.user_id}"
    g.bucket, g.rate, g.quota_key = bucket, rate, f"{bucket.value}:{owner}"


def refusal(bucket: Bucket, decision: Decision) -> QuotaExceeded:
    RATE_LIMITED.labels(bucket.value).inc()
    return QuotaExceeded(TOO_MANY, decision.reset_seconds)


def note_decision(bucket: Bucket, decision: Decision) -> None:
    """Keep a refused or near-quota request in the log, now and then."""
    actor = g.get("actor")
    spender = Spender(
        user_id=None if actor is None else actor.user_id,
        token_id=None if actor is None else actor.token_id,
        ip=g.address,
        route=g.route.rule if g.route is not None else None,
    )
    runtime().quota_log.note(bucket, decision, spender)
