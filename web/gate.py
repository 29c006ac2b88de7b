"""What every request passes on its way in and out: identity, quota, guard; headers, and one line of log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from flask import Flask, Response, g, redirect, request
from flask_wtf.csrf import CSRFProtect

from config import Settings
from models import new_id
from observability.logging import begin_request, end_request
from services.authenticate import Identity
from services.errors import Forbidden, QuotaExceeded, StepUpRequired, Unauthenticated
from web.authentication import WHO_ARE_YOU, authenticate, is_bearer, is_remembered, look_again
from web.client_address import client_address, is_trusted_proxy
from web.cors import add_cors_headers, answer_preflight, is_preflight
from web.csrf import UNSAFE_METHODS, refuse_foreign_sites, require_token, session_cookie
from web.guards import Limit, Route, route_table
from web.htmx import MAIN, go, target
from web.limiter import choose_bucket, note_decision, spend_api_quota
from web.problems import wants_page
from web.proxies import real
from web.request_log import log_request
from web.runtime import runtime

REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}$")
NOT_ALLOWED = "Your role, or this token's scopes, do not allow this."
CHANGE_PASSWORD = "Change the password you were given before anything else: sign in at /login."  # noqa: S105
# Seconds until the session ends if nothing more is done, and whatever is done, for static/js/session.js to count down;
# and whose it is, acting as what: a page of somebody else, or of another role, must not go on with it.
SESSION_HEADER = "Sigilo-Session"
STEP_UP = "Type your password again first: at /step-up."
STEP_UP_BESIDE = "Type your password again first, in another tab; then press the button again."
# What somebody with a password given by others may still do.
BEFORE_CHANGE = frozenset({"account.password", "account.change_password", "account.logout", "account.language"})


class Gate:
    """The hooks of one application."""

    def __init__(self, settings: Settings, csrf: CSRFProtect) -> None:
        self._settings = settings
        self._log_requests = settings.log_level in ("debug", "info")
        self._csrf = csrf
        self._table: dict[str, Route] = {}
        self._count: Callable[[], None] = lambda: None

    def register(self, app: Flask, count: Callable[[], None]) -> None:
        """``count`` lets Flask-Limiter count the request that is at the gate. Out-going hooks run last to first."""
        self._count = count
        app.after_request(self.finish)
        app.before_request(self.identify)
        app.before_request(self.pass_guard)
        app.teardown_request(lambda _: end_request())

    def open(self, app: Flask) -> None:
        """The routes are all registered."""
        self._table = route_table(app)

    def identify(self) -> Response | None:
        """Who calls and from where; a bearer call's quota is counted here, others' by Flask-Limiter next."""
        # Flask's proxies look their object up at every access: once is enough here.
        incoming, state, settings = real(request), real(g), self._settings
        environ = incoming.environ
        state.started = time.perf_counter()
        peer = environ.get("REMOTE_ADDR")
        behind_proxy = is_trusted_proxy(peer, settings.trusted_proxies)
        state.request_id = _request_id(environ.get("HTTP_X_REQUEST_ID") if behind_proxy else None)
        begin_request(state.request_id)
        forwarded = environ.get("HTTP_X_FORWARDED_FOR") if behind_proxy else None
        state.address = client_address(peer, forwarded, settings.trusted_proxies)
        state.rate = None
        route: Route | None = self._table.get(incoming.endpoint or "")
        state.route = route
        if environ["REQUEST_METHOD"] == "OPTIONS" and is_preflight(incoming):
            return answer_preflight(incoming, settings.cors_origins)
        if route is not None and route.limit is Limit.NONE:
            return None
        # A page is never called by token: a header that a proxy or an old password prompt adds opens nothing there.
        identity = None
        if route is not None:
            identity = authenticate(by_header=route.is_api, may_recall=route.confirms_caller)
        if identity is not None and identity.token_id is not None:
            self._spend(identity)
        else:
            choose_bucket(settings, identity, None if route is None else route.limit)
        return None

    def _spend(self, identity: Identity) -> None:
        """Whoever is only remembered is refused by no quota that may have been raised since."""
        try:
            spend_api_quota(self._settings, identity)
        except QuotaExceeded:
            if not is_remembered() or not look_again():
                raise
            spend_api_quota(self._settings, g.identity)

    def pass_again(self) -> None:
        """For a caller who turned out to be, or to be allowed, something else than when they passed."""
        spend_api_quota(self._settings, g.identity)
        self._check(g.route)

    def pass_guard(self) -> Any:
        """Let the request through to its view, or refuse it. An address that is none goes on to its 404."""
        incoming, state = real(request), real(g)
        if state.rate is not None:
            self._count()
            if state.decision.is_near:
                note_decision(state.bucket, state.decision)
        route: Route | None = state.route
        if route is None:
            if incoming.url_rule is not None:
                raise RuntimeError("a route without a guard was called")
            return None
        is_unsafe = incoming.environ["REQUEST_METHOD"] in UNSAFE_METHODS and not (is_bearer() and route.is_api)
        if is_unsafe:
            refuse_foreign_sites(incoming, self._settings)
        answer = self._check(route)
        if answer is None and is_unsafe and (state.get("actor") is not None or not route.is_api):
            # Looking for the token reads the form: only for those who may send one, and only as long as it may be.
            if route.max_bytes is not None:
                incoming.max_content_length = route.max_bytes
            require_token(self._csrf, self._settings)
        return answer or self._check_step_up(route)

    def _check(self, route: Route) -> Any:
        state = real(g)
        guard, actor = route.guard, state.get("actor")
        if actor is None:
            if not guard.signed_in:
                return None
            return self._ask_to_sign_in(route)
        if state.identity.must_change and guard.signed_in and route.endpoint not in BEFORE_CHANGE:
            if route.is_api:
                raise Forbidden(CHANGE_PASSWORD)
            return redirect("/password", 303)
        if guard.permission is not None and not actor.may(guard.permission):
            if is_remembered() and look_again():
                return self._check(route)
            raise Forbidden(NOT_ALLOWED)
        return None

    def _check_step_up(self, route: Route) -> Any:
        """Have a person type their password again; they come back to the page asked for, or sent a form from."""
        if not route.guard.step_up or g.identity.stepped_up or g.actor.token_id is not None:
            return None
        if route.is_api:
            raise StepUpRequired(STEP_UP)
        if target() == MAIN:  # a form with text in it, which going to another page would lose
            raise StepUpRequired(STEP_UP_BESIDE)
        back = request.path if request.method == "GET" else _page_of_form()
        return go(f"/step-up?next={quote(back)}")

    def _ask_to_sign_in(self, route: Route) -> Any:
        """A person who never signed in is led to the form; a session that ended, and an API caller, get 401."""
        has_session = session_cookie(self._settings) in request.cookies
        if not route.is_api and request.method == "GET" and wants_page() and not has_session:
            return redirect(f"/login?next={quote(request.path)}" if request.path != "/" else "/login", 303)
        raise Unauthenticated(WHO_ARE_YOU)

    def finish(self, response: Response) -> Response:
        """Strict headers, the request's id, what is left of quota and session, and the log line."""
        incoming, state, headers = real(request), real(g), response.headers
        headers.add("X-Request-Id", state.request_id)
        decision, route = state.get("decision"), state.route
        if decision is not None and (not decision.allowed or (route is not None and route.is_api)):
            headers.add("RateLimit-Policy", decision.policy_header)
            headers.add("RateLimit", decision.limit_header)
        identity = state.get("identity")
        if identity is not None and identity.session_id is not None:
            holder = f"{identity.user_id}:{identity.role}"
            headers.add(SESSION_HEADER, f"idle={identity.idle_seconds}, end={identity.end_seconds}, user={holder}")
        if self._settings.cors_origins:
            add_cors_headers(incoming, response, self._settings.cors_origins)
        if route is not None and route.limit is not Limit.NONE:
            runtime().wakeup.audit()  # whatever was done has committed its event by now
        if self._log_requests and (route is None or route.limit is not Limit.NONE or response.status_code >= 400):
            log_request(incoming, response, state)
        return response


def _page_of_form() -> str:
    """Path and query of the page that a form was sent from; the start when the browser does not say."""
    try:
        page = urlsplit(request.headers.get("Referer", ""))
        return urlunsplit(("", "", page.path or "/", page.query, ""))
    except ValueError:
        return "/"


def _request_id(given: str | None) -> str:
    """The id that a trusted proxy gave the request, when it looks like one; else one of our own."""
    return given if given is not None and REQUEST_ID.match(given) else new_id().hex
