"""Routes, each with the guard it was registered with. There is no way to register one without.

A blueprint's module makes a ``Routes`` and adds to it; ``web/app.py`` registers all of them. The table of
route and guard is ``app.extensions["routes"]``: the gate reads it at every request, and the access matrix
of the tests is generated from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from flask import Blueprint, Flask
from pydantic import BaseModel

from services.permissions import Permission

EXTENSION = "routes"
View = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may call a route: somebody signed in, with ``permission`` where one is named; with ``step_up``, who typed
    their password again a moment ago (SECURITY 6). Tokens have no password and are not asked."""

    permission: Permission | None = None
    signed_in: bool = True
    step_up: bool = False


PUBLIC = Guard(signed_in=False)
SIGNED_IN = Guard()


class Limit(StrEnum):
    """Which quota counts a route's requests."""

    STANDARD = "standard"  # by who calls: token, person at a browser, or address
    LOGIN = "login"  # attempts to sign in: the address, apart from everything else
    LIVE = "live"  # what open pages ask by themselves: apart, so that it uses up nobody's clicks
    NONE = "none"  # health and static files


@dataclass(frozen=True, slots=True)
class Operation:
    """What the OpenAPI document says of a route.

    ``answers``: status → model of the body (None: no body) for what isn't an error. Errors that follow from
    the guard, the body and the method are added by themselves; ``problems`` names the others. ``headers``:
    name of a request header → description.
    """

    summary: str
    tag: str
    answers: Mapping[int, type[BaseModel] | None]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    problems: tuple[int, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """One rule with its methods. ``endpoint`` is ``<blueprint>.<view>``."""

    rule: str
    methods: tuple[str, ...]
    endpoint: str
    view: View
    guard: Guard
    limit: Limit
    operation: Operation | None
    max_bytes: int | None = None  # of a body; None: what the application accepts of any form
    # Its view reads by one statement that confirms who calls (services/audited_read.py), who so may be remembered.
    confirms_caller: bool = False

    @property
    def is_api(self) -> bool:
        return self.rule.startswith("/api/")


class UnguardedRoute(Exception):
    """A route was put into the application past ``Routes``."""


class Routes:
    """The routes of one blueprint, in the order they were added."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.all: list[Route] = []

    def add(
        self,
        rule: str,
        *,
        view: View,
        guard: Guard,
        methods: Iterable[str] = ("GET",),
        limit: Limit = Limit.STANDARD,
        operation: Operation | None = None,
        endpoint: str | None = None,
        max_bytes: int | None = None,
        confirms_caller: bool = False,
    ) -> None:
        """Add ``view`` for ``methods`` of ``rule``. A guard is not optional.

        Raises ValueError for a second view of the same name, unless ``endpoint`` tells them apart.
        """
        name = f"{self.name}.{endpoint or view.__name__}"
        if any(route.endpoint == name for route in self.all):
            raise ValueError(f"{name} is registered twice: name an endpoint")
        self.all.append(
            Route(
                rule=rule, methods=tuple(methods), endpoint=name, view=view, guard=guard, limit=limit,
                operation=operation, max_bytes=max_bytes, confirms_caller=confirms_caller,
            )
        )  # fmt: skip

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint(self.name, __name__)
        for route in self.all:
            blueprint.add_url_rule(
                route.rule,
                endpoint=route.endpoint.split(".", 1)[1],
                view_func=route.view,
                methods=list(route.methods),
                provide_automatic_options=False,
            )
        return blueprint


def register_routes(app: Flask, groups: Iterable[Routes]) -> None:
    """Register every group's blueprint and publish the table. Raises UnguardedRoute for any rule beside it."""
    table: dict[str, Route] = {}
    for group in groups:
        app.register_blueprint(group.blueprint())
        table |= {route.endpoint: route for route in group.all}
    unguarded = sorted(rule.rule for rule in app.url_map.iter_rules() if rule.endpoint not in table)
    if unguarded:
        raise UnguardedRoute(f"routes without a guard: {', '.join(unguarded)}")
    _refuse_hooks_of_groups(app)
    app.extensions[EXTENSION] = table


def _refuse_hooks_of_groups(app: Flask) -> None:
    """They would never run: no request is of a group (``Incoming`` in web/app.py). Raises ValueError."""
    kinds: tuple[Mapping[str | None, object], ...] = (
        app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs, app.error_handler_spec,
        app.url_value_preprocessors,
    )  # fmt: skip
    named = sorted({name for kind in kinds for name, found in kind.items() if name is not None and found})
    if named:
        raise ValueError(f"hooks and handlers are the application's, never a group's ({', '.join(named)})")


def route_table(app: Flask) -> dict[str, Route]:
    """Endpoint → route of everything that ``app`` serves."""
    table: dict[str, Route] = app.extensions[EXTENSION]
    return table
