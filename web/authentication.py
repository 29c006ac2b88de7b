"""Who is calling: a bearer token, or the session of a person's browser. Both become ``g.actor``."""

from __future__ import annotations

from typing import Any

from flask import Flask, Request, Response, g, request
from flask_login import LoginManager, UserMixin
from flask_login import current_user as flask_login_user

from models.user import Role
from services.actor import Actor
from services.authenticate import Identity, find_session, find_token
from services.errors import Unauthenticated
from web.csrf import session_cookie
from web.runtime import runtime

BACKGROUND_HEADER = "Sigilo-Background"
BACKGROUND_ENDPOINTS = frozenset({"live.token"})  # what a page asks by itself, whatever its header says
WHO_ARE_YOU = "Sign in, or send a valid token: Authorization: Bearer <token>."


class SignedIn(UserMixin):  # type: ignore[misc]
    """Flask-Login's user: a person in a session of theirs."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def get_id(self) -> str:
        return str(self.identity.user_id)


class SessionLogin(LoginManager):  # type: ignore[misc]
    """Flask-Login without its "remember me", for which it would look at every answer."""

    def _update_remember_cookie(self, response: Response) -> Response:
        return response


def register_login(app: Flask) -> LoginManager:
    """Flask-Login over our own sessions: it finds the user, and stores nothing anywhere."""
    manager = SessionLogin()
    manager.session_protection = None  # it would pin sessions to an address; ours are server-side
    # The one thing it offers that we don't want; no cookie of this name is ever set or read.
    app.config["REMEMBER_COOKIE_NAME"] = "sigilo-not-remembered"
    # As a lazy global: a page that does not ask who is there, such as an error's, asks no database.
    manager.init_app(app, add_context_processor=False)
    app.jinja_env.globals["current_user"] = flask_login_user
    manager.request_loader(load_from_session)
    return manager


def load_from_session(incoming: Request) -> SignedIn | None:
    """The person whose session cookie came with the request."""
    here = runtime()
    secret = incoming.cookies.get(session_cookie(here.settings))
    if not secret:
        return None
    is_background = incoming.headers.get(BACKGROUND_HEADER) == "1" or incoming.endpoint in BACKGROUND_ENDPOINTS
    identity = find_session(here.databases, secret, is_background=is_background)
    return None if identity is None else SignedIn(identity)


def authenticate(*, by_header: bool) -> Identity | None:
    """Find out who calls and set ``g.actor``. With ``by_header`` an Authorization header decides alone, and a cookie
    counts without one; else it is as if there were no such header."""
    header = request.environ.get("HTTP_AUTHORIZATION") if by_header else None
    if header is not None:
        scheme, _, token = header.partition(" ")
        identity = find_token(runtime().databases, token.strip()) if scheme.lower() == "bearer" else None
    elif request.environ.get("HTTP_COOKIE") is None:
        identity = None
    else:
        person: Any = flask_login_user
        identity = person.identity if person.is_authenticated else None
    if identity is not None:
        g.identity = identity
        g.actor = make_actor(identity)
    return identity


def make_actor(identity: Identity) -> Actor:
    return Actor(
        user_id=identity.user_id,
        role=Role(identity.role),
        name=identity.name,
        council=identity.council,
        patient_id=identity.patient_id,
        scopes=None if identity.scopes is None else frozenset(identity.scopes),
        token_id=identity.token_id,
        session_id=identity.session_id,
        ip=g.address,
        user_agent=request.environ.get("HTTP_USER_AGENT"),
        request_id=g.request_id,
    )


def current_actor() -> Actor:
    """Who acts in this request. Raises Unauthenticated when nobody is signed in."""
    actor: Actor | None = g.get("actor")
    if actor is None:
        raise Unauthenticated(WHO_ARE_YOU)
    return actor


def is_bearer() -> bool:
    """Whether the caller authenticates by header, which no other site can make a browser send."""
    return "HTTP_AUTHORIZATION" in request.environ
