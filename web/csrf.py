"""CSRF tokens bound to the server-side session, and refusal of requests that other sites make (SECURITY 14).

Flask's ``session`` holds one thing here: the value that Flask-WTF's tokens are bound to. It is derived from
the secret of the server-side session, so a token dies with its session and fits no other; before sign-in,
from a random cookie of the visit. Nothing is stored in the cookie, so nothing can be replayed from it.

While SECRET_KEY changes, pages that were made under another key are still open: what SECRET_KEY_PREVIOUS signed is
accepted, and what is made anew is signed with SECRET_KEY.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Request, Response, request, session
from flask.sessions import SessionInterface, SessionMixin
from flask_wtf.csrf import CSRFError, CSRFProtect
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response as BaseResponse

from config import Settings
from services.errors import Forbidden

FIELD = "csrf_token"
# Flask-WTF's own, which signs what is carried here.
TOKEN_SALT = "wtf-csrf-token"  # noqa: S105
HEADERS = ("X-CSRFToken", "X-CSRF-Token")
UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
FOREIGN_SITES = frozenset({"cross-site", "same-site"})
FROM_ELSEWHERE = "This request was started by another site, so nothing was done."
OUT_OF_DATE = "This form was out of date, so nothing was done. Press its button again, or else load the page again."


def session_cookie(settings: Settings) -> str:
    """Name of the cookie with the session's secret. ``__Host-`` binds it to this host and to HTTPS."""
    return "__Host-sigilo" if settings.is_production else "sigilo"


def visit_cookie(settings: Settings) -> str:
    """Name of the cookie that a visitor has before signing in."""
    return f"{session_cookie(settings)}-visit"


def set_cookie(response: BaseResponse, settings: Settings, name: str, value: str, **options: Any) -> None:
    """Set a cookie that scripts can't read and other sites can't send (SECURITY 7)."""
    response.set_cookie(name, value, secure=settings.is_production, httponly=True, samesite="Lax", path="/", **options)


def drop_cookie(response: BaseResponse, settings: Settings, name: str) -> None:
    response.delete_cookie(name, secure=settings.is_production, httponly=True, samesite="Lax", path="/")


class BoundSession(dict[str, Any], SessionMixin):
    """What ``flask.session`` is here: read-only but for the visit cookie that the first form needs."""

    def __init__(self, request: Request, settings: Settings) -> None:
        super().__init__()
        self._request = request
        self._settings = settings
        self.new_visit: str | None = None

    def __contains__(self, key: object) -> bool:
        return key == FIELD and self._binding() is not None

    def __getitem__(self, key: str) -> Any:
        binding = self._binding() if key == FIELD else None
        if binding is None:
            raise KeyError(key)
        return binding

    def __setitem__(self, key: str, value: Any) -> None:
        """Flask-WTF sets its field when there is none: the visit gets a cookie instead."""
        if key == FIELD:
            self.new_visit = secrets.token_urlsafe(32)

    def _binding(self) -> str | None:
        return self.bound_under(self._settings.secret_key.get_secret_value())

    def bound_under(self, key: str) -> str | None:
        """What tokens of this session, or else of this visit, carry when ``key`` makes them."""
        for kind, value in (
            ("session", self._request.cookies.get(session_cookie(self._settings))),
            ("visit", self.new_visit or self._request.cookies.get(visit_cookie(self._settings))),
        ):
            if value:
                return bind(key, kind, value)
        return None


def bind(key: str, kind: str, value: str) -> str:
    """What tokens of this session or visit carry: nobody can compute it without the ``key``."""
    return hmac.new(key.encode(), f"csrf\0{kind}\0{value}".encode(), hashlib.sha256).hexdigest()


class BoundSessions(SessionInterface):
    """Opens a ``BoundSession`` for every request; writes no cookie but a first form's visit."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open_session(self, app: Flask, request: Request) -> BoundSession:
        return BoundSession(request, self._settings)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if isinstance(session, BoundSession) and session.new_visit is not None:
            set_cookie(response, self._settings, visit_cookie(self._settings), session.new_visit)


def refuse_foreign_sites(request: Request, settings: Settings) -> None:
    """Raise Forbidden when another site made this unsafe request: by Fetch Metadata, else by its Origin."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site in FOREIGN_SITES:
            raise Forbidden(FROM_ELSEWHERE)
        return
    origin = request.headers.get("Origin")
    if origin is not None and _host_of(origin) not in {request.host, urlsplit(settings.public_url).netloc}:
        raise Forbidden(FROM_ELSEWHERE)


def _host_of(origin: str) -> str | None:
    """Host and port that ``origin`` names; None for what is no address at all, such as ``http://[``."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def require_token(protect: CSRFProtect, settings: Settings) -> None:
    """Raise Forbidden unless the request carries a token of its own session."""
    try:
        protect.protect()
    except CSRFError as error:
        if not any(map(_is_of_this_session, settings.former_secret_keys)):
            raise Forbidden(OUT_OF_DATE) from error


def _is_of_this_session(former: str) -> bool:
    """Whether the request carries a token that its own session got under a ``former`` key."""
    token = request.form.get(FIELD) or next(filter(None, map(request.headers.get, HEADERS)), "")
    try:
        carried = URLSafeTimedSerializer(former, salt=TOKEN_SALT).loads(token)
    except BadData:
        return False
    bound = session.bound_under(former) if isinstance(session, BoundSession) else None
    return bound is not None and isinstance(carried, str) and hmac.compare_digest(bound, carried)
