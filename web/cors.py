"""Cross-origin calls: closed, except for the exact origins in CORS_ORIGINS, and never with cookies (SECURITY 26)."""

from __future__ import annotations

from flask import Request, Response

METHODS = "GET, POST, PUT, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match"
EXPOSED_HEADERS = "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
PREFLIGHT_SECONDS = "600"


def is_preflight(request: Request) -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def answer_preflight(request: Request, allowed: tuple[str, ...]) -> Response:
    """204 with what an allowed origin may send; 403 for any other."""
    if not _is_allowed(request, allowed):
        return Response(status=403)
    answer = Response(status=204)
    answer.headers["Access-Control-Allow-Methods"] = METHODS
    answer.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
    answer.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
    return answer


def add_cors_headers(request: Request, response: Response, allowed: tuple[str, ...]) -> None:
    """Let an allowed origin read this answer. Nothing is said about credentials, so cookies don't count."""
    if not allowed or not request.path.startswith("/api/"):
        return
    response.headers.add("Vary", "Origin")
    if _is_allowed(request, allowed):
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS


def _is_allowed(request: Request, allowed: tuple[str, ...]) -> bool:
    return request.path.startswith("/api/") and request.headers.get("Origin") in allowed
