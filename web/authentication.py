"""Who is calling: a bearer token, or the session of a person's browser. Both become ``g.actor``.

A reading caller with a token may be remembered from a moment ago. Then the read's own statement confirms it; what was
answered without that, refusals included, is answered only after a look-up (``answer_confirmed``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Request, Response, g, request
from flask_login import LoginManager, UserMixin
from flask_login import current_user as flask_login_user

from models.user import Role
from services.actor import Actor, Standing
from services.authenticate import Identity, Known, find_session
from services.errors import CallerChanged, Unauthenticated
from web.csrf import session_cookie
from web.proxies import real
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


def authenticate(*, by_header: bool, may_recall: bool = False) -> Identity | None:
    """Find out who calls and set ``g.actor``. With ``by_header`` an Authorization header decides alone, and a cookie
    counts without one; else it is as if there were no such header. With ``may_recall`` the holder of a token may be
    remembered, who counts once confirmed."""
    environ = real(request).environ
    header = environ.get("HTTP_AUTHORIZATION") if by_header else None
    if header is not None:
        scheme, _, token = header.partition(" ")
        return _by_token(token.strip(), may_recall=may_recall) if scheme.lower() == "bearer" else None
    if environ.get("HTTP_COOKIE") is None:
        return None
    person: Any = flask_login_user
    return _become(person.identity) if person.is_authenticated else None


def _by_token(token: str, *, may_recall: bool) -> Identity | None:
    callers = runtime().callers
    known = callers.recall(token) if may_recall else None
    if known is not None:
        real(g).known = known
        return _become(known.identity, Standing(known.token_row, known.user_version, known.identity.user_quota))
    known = callers.look_up(token)
    return None if known is None else _become(known.identity)


def _become(identity: Identity, standing: Standing | None = None) -> Identity:
    state = real(g)
    state.identity = identity
    state.actor = make_actor(identity, standing)
    return identity


def is_remembered() -> bool:
    """Whether who calls is only remembered, and nothing has confirmed it yet."""
    actor: Actor | None = real(g).get("actor")
    return actor is not None and actor.standing is not None and not actor.standing.is_confirmed


def look_again() -> bool:
    """Find out anew who the remembered caller is; gives whether anything about them differs. Raises Unauthenticated."""
    remembered: Known = g.pop("known")
    before = remembered.identity
    now = authenticate(by_header=True)
    if now is None:
        del g.identity, g.actor
        raise Unauthenticated(WHO_ARE_YOU)
    return now != before


T = TypeVar("T")


def answer_confirmed(answer: Callable[[], T], pass_again: Callable[[], None]) -> T:
    """What ``answer`` gives to a caller who is certain. Who was remembered and is not that any more passes the gate
    again (``pass_again``) and is answered anew."""
    if not is_remembered():
        return answer()
    try:
        given = answer()
    except CallerChanged:
        look_again()
    except Exception:
        if not is_remembered() or not look_again():
            raise
    else:
        if not is_remembered() or not look_again():
            return given
    pass_again()
    return answer()


def make_actor(identity: Identity, standing: Standing | None = None) -> Actor:
    state = real(g)
    return Actor(
        user_id=identity.user_id,
        role=Role(identity.role),
        name=identity.name,
        council=identity.council,
        patient_id=identity.patient_id,
        scopes=None if identity.scopes is None else frozenset(identity.scopes),
        token_id=identity.token_id,
        session_id=identity.session_id,
        ip=state.address,
        user_agent=real(request).environ.get("HTTP_USER_AGENT"),
        request_id=state.request_id,
        standing=standing,
    )


def current_actor() -> Actor:
    """Who acts in this request. Raises Unauthenticated when nobody is signed in."""
    actor: Actor | None = real(g).get("actor")
    if actor is None:
        raise Unauthenticated(WHO_ARE_YOU)
    return actor


def is_bearer() -> bool:
    """Whether the caller authenticates by header, which no other site can make a browser send."""
    return "HTTP_AUTHORIZATION" in real(request).environ
