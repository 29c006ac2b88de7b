"""Build the web application. The order is the order in which a request meets the parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flask import Flask, Request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFProtect
from jinja2 import StrictUndefined
from werkzeug.routing import MapAdapter

from config import PRODUCT_NAME, PRODUCT_VERSION, Settings
from models.engine import Databases
from observability.logging import configure_logging
from web.answer import Answer
from web.authentication import answer_confirmed, register_login
from web.broken_glass import register_broken_glass
from web.clock import register_clock
from web.compression import register_compression
from web.csrf import BoundSessions
from web.database import register_database
from web.gate import Gate
from web.guards import Routes, register_routes
from web.headers import StrictHeaders
from web.languages import register_languages
from web.limiter import register_limiter
from web.measures import register_measures
from web.metrics import count_in_progress, register_metrics
from web.problems import register_problems
from web.routes import GROUPS
from web.runtime import EXTENSION, Runtime
from web.static_files import register_static
from web.tracing import register_tracing

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
FORM_BYTES = 256 * 1024  # of an HTML form; JSON bodies have their own reader and limit


def make_app(
    settings: Settings, databases: Databases | None = None, *, groups: Iterable[Routes] = GROUPS, counts: bool = True
) -> Flask:
    """The application over ``settings``, with connections of its own unless ``databases`` are given. ``counts``:
    requests are counted for Prometheus; only measuring what that costs does without.

    Raises UnguardedRoute when a route has no guard. Connects to nothing yet.
    """
    app = Application("web", static_folder=None, template_folder=str(TEMPLATES))
    _configure(app, settings)
    configure_logging(settings.log_level)
    app.extensions[EXTENSION] = Runtime.start(settings, databases)
    app.session_interface = BoundSessions(settings)
    if counts:
        count_in_progress(app)
    register_tracing(app, settings)
    csrf = CSRFProtect(app)
    gate = app.gate = Gate(settings, csrf)

    register_compression(app)
    register_problems(app)
    register_database(app)
    register_login(app)
    gate.register(app, register_limiter(app))
    if counts:
        register_metrics(app)
    register_languages(app, settings)
    register_clock(app)
    register_measures(app)
    register_broken_glass(app)
    register_static(app)
    register_routes(app, groups)
    gate.open(app)
    app.wsgi_app = StrictHeaders(app.wsgi_app, settings)  # type: ignore[method-assign]
    return app


class Incoming(Request):
    """No hook or handler of ours is for some routes alone, so nobody need ask at each which group a route is of."""

    blueprints = ()  # type: ignore[assignment]


class Application(Flask):
    """Flask that answers nobody who is only remembered, and without asynchronous views: it would look at every hook of
    every request whether it is one."""

    gate: Gate
    response_class = Answer
    request_class = Incoming

    def dispatch_request(self) -> ResponseReturnValue:
        return answer_confirmed(super().dispatch_request, self.gate.pass_again)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Routes go by path and method. Flask binds them to the host as well, which it reads and encodes each time; we
        lead nobody to an address with a host in it but to PUBLIC_URL, so ``url_for(_external=True)`` is for nobody."""
        if request is None:
            return super().create_url_adapter(request)
        environ = request.environ
        return MapAdapter(
            self.url_map, server_name="", script_name=request.root_path, subdomain="",
            url_scheme=environ["wsgi.url_scheme"], path_info=request.path, default_method=environ["REQUEST_METHOD"],
        )  # fmt: skip

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def _configure(app: Flask, settings: Settings) -> None:
    app.config.update(
        SECRET_KEY=settings.secret_key.get_secret_value(),
        MAX_CONTENT_LENGTH=FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=FORM_BYTES,
        MAX_FORM_PARTS=200,
        PROPAGATE_EXCEPTIONS=False,
        TRAP_HTTP_EXCEPTIONS=False,
        WTF_CSRF_CHECK_DEFAULT=False,  # the gate decides which requests need a token
        WTF_CSRF_TIME_LIMIT=None,  # a token lives as long as its session
        WTF_CSRF_SSL_STRICT=False,  # the gate looks at Fetch Metadata and Origin instead of Referer
    )
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        product=PRODUCT_NAME, product_version=PRODUCT_VERSION, clinic_name=settings.clinic_name
    )
