"""Whatever goes wrong becomes one status and one problem (RFC 9457), or a page for a person.

Nothing of the input is echoed, and nothing of an exception is shown: only services' own sentences are.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
import psycopg
import sqlalchemy.exc
import structlog
from flask import Flask, Response, g, render_template, request
from psycopg.errors import ReadOnlySqlTransaction
from werkzeug.exceptions import HTTPException

from models.engine import CommitUncertain
from observability.metrics import REFUSALS
from observability.tracing import current_trace_id
from services import errors
from web.csrf import OUT_OF_DATE
from web.forms.sentences import said
from web.htmx import is_htmx, show_again
from web.refusal import audit_refusal

PROBLEM_JSON = "application/problem+json"
RETRY_SECONDS = 5
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
EXPLAINED = frozenset({403, 409, 410, 422, 503})  # statuses whose service sentence a person should read
AWAY = (psycopg.OperationalError, psycopg.InterfaceError, sqlalchemy.exc.TimeoutError, ReadOnlySqlTransaction)
log = structlog.get_logger()

# Service error → status and type. The most special first.
STATUSES: tuple[tuple[type[errors.ServiceError], int, str], ...] = (
    (errors.Invalid, 422, "invalid"),
    (errors.Unauthenticated, 401, "unauthenticated"),
    (errors.StepUpRequired, 403, "step-up-required"),
    (errors.Forbidden, 403, "forbidden"),
    (errors.NotFound, 404, "not-found"),
    (errors.Gone, 410, "gone"),
    (errors.StaleVersion, 409, "stale-version"),
    (errors.Conflict, 409, "conflict"),
    (errors.PreconditionRequired, 428, "precondition-required"),
    (errors.QuotaExceeded, 429, "quota-exceeded"),
    (errors.Unavailable, 503, "unavailable"),
)
HTTP_DETAILS = {
    400: "The request is not well-formed.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    413: "The request is larger than what is accepted here.",
    414: "The address is too long.",
    415: "The body must be application/json.",
    431: "The request has more or longer headers than what is accepted here.",
}
UNEXPECTED = "Something went wrong on our side. Nothing was changed. Quote the request id when you report it."
DATABASE_AWAY = "The database can't be reached or is busy. Nothing was changed or shown. Try again in a moment."
COMMIT_UNCERTAIN = (
    "The database went away while this was being stored, so it may be stored or not. "
    "Look whether it is before you send it again."
)
UNSTORABLE = "The request has a value that can't be stored."


def send_once() -> None:
    """Say that this request may be sent again: what it stores is stored once."""
    g.is_sent_once = True


def is_sent_once() -> bool:
    return g.get("is_sent_once", False) is True


class BadRequest(errors.ServiceError):
    """A request that is no JSON, or no request: with the status that says what is wrong with it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def problem(
    status: int, detail: str, *, name: str = "about:blank", headers: dict[str, str] | None = None, **members: Any
) -> Response:
    """The answer for ``status``: problem+json, or an HTML page when a browser asked for one."""
    if wants_page() or is_fragment():
        retry_after = (headers or {}).get("Retry-After")
        answer = Response(error_page(status, detail, retry_after, name), status, mimetype="text/html")
        show_again(answer, into="problems")
    else:
        body = {
            "type": name if name == "about:blank" else f"urn:sigilo:problem:{name}",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "requestId": g.get("request_id"),
            **members,
        }
        trace_id = current_trace_id()
        if trace_id is not None:
            body["traceId"] = trace_id
        answer = Response(orjson.dumps(body), status, mimetype=PROBLEM_JSON)
    answer.headers.extend(headers or {})
    return answer


def error_page(status: int, detail: str, retry_after: str | None = None, name: str = "about:blank") -> str:
    """A page, or the part of one that htmx puts into an open page, that says what happened; a plainer one when
    even that can't be rendered. Sentences of services explain a refusal; others add nothing for a person."""
    template = "errors/_problem.html" if is_fragment() else "errors/error.html"
    shown = said(detail) if status in EXPLAINED else None
    try:
        return render_template(
            template, status=status, detail=shown, request_id=g.get("request_id"), trace_id=current_trace_id(),
            retry_after=retry_after, asks_password=name == "step-up-required", is_old_form=detail == OUT_OF_DATE,
        )  # fmt: skip
    except Exception:  # an error page must not fail
        log.exception("error_page_failed")
        return f"<!doctype html><title>{status}</title><h1>{status} {HTTPStatus(status).phrase}</h1>"


def wants_page() -> bool:
    """Whether a person's browser asked: never under /api/, else by what it accepts."""
    if request.path.startswith(("/api/", "/metrics", "/livez", "/readyz")):
        return False
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


def is_fragment() -> bool:
    """Whether the problem goes into a page that is open. The API answers JSON whoever asks."""
    return is_htmx() and not request.path.startswith("/api/")


def register_problems(app: Flask) -> None:
    app.register_error_handler(errors.ServiceError, on_service_error)
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(psycopg.Error, on_database_error)
    app.register_error_handler(sqlalchemy.exc.SQLAlchemyError, on_database_error)
    app.register_error_handler(Exception, on_unexpected)


def on_service_error(error: errors.ServiceError) -> Response:
    if isinstance(error, BadRequest):
        return problem(error.status, error.detail, name="bad-request")
    status, name = next((status, name) for kind, status, name in STATUSES if isinstance(error, kind))
    members: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if isinstance(error, errors.Invalid):
        members["errors"] = [{"pointer": item.pointer, "message": item.message} for item in error.errors]
    elif isinstance(error, errors.Forbidden):
        REFUSALS.labels(name).inc()
        audit_refusal()
        if error.pointers:
            members["errors"] = [{"pointer": pointer, "message": "not yours to write"} for pointer in error.pointers]
    elif isinstance(error, errors.StaleVersion):
        members |= {"currentVersion": error.current_version, "conflictingFields": list(error.conflicting_fields)}
    elif isinstance(error, errors.QuotaExceeded):
        headers["Retry-After"] = str(error.retry_after)
    elif isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="sigilo"'
    elif isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(RETRY_SECONDS)
        log.warning("unavailable", exc_info=error)
    return problem(status, error.detail, name=name, headers=headers, **members)


def on_http_error(error: HTTPException) -> Response:
    """Flask's and Werkzeug's own errors. Their descriptions may quote the request: ours don't."""
    status = error.code or 500
    if status < 400 or error.response is not None:
        return error.get_response()  # type: ignore[return-value]
    answer = problem(status, HTTP_DETAILS.get(status, HTTPStatus(status).phrase))
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        answer.headers["Allow"] = ", ".join(sorted(allowed))
    return answer


def on_database_error(error: Exception) -> Response:
    """A database that is away, busy, restarting or no primary any more is 503 and to be tried again; anything else is
    our fault."""
    if isinstance(error, CommitUncertain):
        log.error("commit_uncertain", exc_info=error)
        # A client that is told when to send again does, and stores what was stored already a second time.
        headers = {"Retry-After": str(RETRY_SECONDS)} if request.method in SAFE_METHODS or is_sent_once() else {}
        return problem(503, COMMIT_UNCERTAIN, name="commit-uncertain", headers=headers)
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    if isinstance(cause, AWAY):
        log.error("database_away", exc_info=error)
        return on_service_error(errors.Unavailable(DATABASE_AWAY))
    if isinstance(cause, psycopg.DataError):
        # Should have been caught when the body was read: the caller is told, and so are we.
        log.error("unstorable_value", exc_info=error)
        return problem(422, UNSTORABLE, name="invalid", errors=[{"pointer": "", "message": "can't be stored"}])
    return on_unexpected(error)


def on_unexpected(error: Exception) -> Response:
    log.error("unexpected", exc_info=error)
    return problem(500, UNEXPECTED, name="unexpected")
