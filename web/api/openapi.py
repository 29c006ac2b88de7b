"""The OpenAPI 3.1 document, from what routes declare. spectree turns models into schemas and paths into paths.

spectree validates nothing here: it works on a shadow application of the same rules, so that requests never
pass through it. What follows from guard, body and method (security, problems, headers) is added afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask
from spectree import Response as Answers
from spectree import SpecTree

from config import PRODUCT_NAME, PRODUCT_VERSION
from services.permissions import ALWAYS_FOR_TOKENS, SCOPE_OF
from web.api.schemas import Problem
from web.guards import Guard, Operation, Route

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
DESCRIPTION = """Medical records behind one masking engine: what you see depends on who you are to the patient.

Send `Authorization: Bearer <token>`. Masked values are `null` and named in `privacy.maskedFields`. Errors are
`application/problem+json` (RFC 9457) and never echo the input. Times are RFC 3339 in UTC, ids are UUIDv7."""
PROBLEM_TEXTS = {
    400: "The body is not well-formed JSON, or nested too deep",
    401: "No valid token or session",
    403: "Your role or scopes do not allow this, or the field is masked from you",
    404: "There is no such thing, or you may not know of it",
    409: "It contradicts the present state; `currentVersion` when yours is stale",
    410: "It was inactivated",
    413: "The body is too large",
    415: "The body is not application/json",
    422: "Well-formed but wrong; `errors` says where",
    428: "Say which version you change: If-Match, or `version`",
    429: "Quota used up; `Retry-After` says when there is more",
    503: "A part that this needs is away; nothing was changed or shown, or (`commit-uncertain`) nobody knows whether",
}
IF_NONE_MATCH = "an ETag you have: 304 when what you may see of it is still the same"
TAG = "a digest of this view"
QUOTA_HEADERS = {
    "RateLimit": {"schema": {"type": "string"}, "description": "requests left and seconds until there are more"},
    "RateLimit-Policy": {"schema": {"type": "string"}, "description": "the quota and its window in seconds"},
}


def build_document(routes: Iterable[Route]) -> dict[str, Any]:
    """The document of every route that declares an operation."""
    described = [route for route in routes if route.operation is not None]
    shadow, tree = Flask("openapi"), _spectree()
    for route in described:
        shadow.add_url_rule(
            route.rule, endpoint=route.endpoint, methods=list(route.methods), view_func=_stub(tree, route)
        )
    tree.app = shadow
    with shadow.app_context():
        document: dict[str, Any] = tree.spec
    document["components"]["schemas"]["Problem"] = Problem.model_json_schema(
        ref_template="#/components/schemas/{model}", mode="serialization"
    )
    _lift_definitions(document)
    for route in described:
        _complete(document, route)
    _tidy(document)
    _drop_unused(document)
    document["paths"] = {path: dict(sorted(item.items())) for path, item in sorted(document["paths"].items())}
    return document


def _spectree() -> SpecTree:
    return SpecTree(
        "flask",
        title=PRODUCT_NAME,
        version=PRODUCT_VERSION,
        description=DESCRIPTION,
        openapi_version="3.1.0",
        naming_strategy=lambda model: model.__name__,
        nested_naming_strategy=lambda _, child: child,
        validation_error_model=Problem,
        annotations=False,
    )


def _stub(tree: SpecTree, route: Route) -> Callable[..., Any]:
    operation: Operation = route.operation  # type: ignore[assignment]

    def stub(**_: Any) -> None:
        """Never called: it only carries what spectree reads."""

    stub.__name__ = route.endpoint.replace(".", "_")
    stub.__doc__ = f"{operation.summary}\n\n{operation.description}"
    codes = {f"HTTP_{status}": model for status, model in operation.answers.items()}
    decorated: Callable[..., Any] = tree.validate(
        query=operation.query,
        json=operation.body,
        resp=Answers(**codes),
        tags=(operation.tag,),
        skip_validation=True,
        operation_id=stub.__name__,
    )(stub)
    return decorated


def _complete(document: dict[str, Any], route: Route) -> None:
    operation: Operation = route.operation  # type: ignore[assignment]
    path = re.sub(r"<(?:[a-z]+(?:\([^)]*\))?:)?([a-z_]+)>", r"{\1}", route.rule)
    for method in route.methods:
        item = document["paths"][path][method.lower()]
        for parameter in item["parameters"]:
            parameter.pop("description", None) if not parameter.get("description") else None
            _drop_null(parameter)
        item["parameters"] += [
            {"name": name, "in": "header", "schema": {"type": "string"}, "description": text}
            for name, text in operation.headers.items()
        ]
        answers = item["responses"]
        for status in (*operation.answers,):
            answers[str(status)].setdefault("headers", {}).update(
                {name: {"schema": {"type": "string"}, "description": text} for name, text in
                 operation.answer_headers.items()}
                | (QUOTA_HEADERS if route.guard.signed_in else {})
            )  # fmt: skip
        answers.pop("422", None)
        for status in problems_of(route):
            answers[str(status)] = {
                "description": PROBLEM_TEXTS.get(status, HTTPStatus(status).phrase),
                "content": PROBLEM,
            }
        if is_tagged(route):
            _add_tag(item)
        item["responses"] = dict(sorted(answers.items()))
        item["security"] = security_of(route.guard)


def is_tagged(route: Route) -> bool:
    """Whether it is a read of JSON, which has an entity tag (web/api/answers.py)."""
    return route.methods == ("GET",) and route.operation is not None and route.operation.answers.get(200) is not None


def _add_tag(item: dict[str, Any]) -> None:
    """The tag and its use, where the operation does not describe them itself."""
    if not any(parameter["name"] == "If-None-Match" for parameter in item["parameters"]):
        item["parameters"].append(
            {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}, "description": IF_NONE_MATCH}
        )
    tagged = {"ETag": {"schema": {"type": "string"}, "description": TAG}}
    for status in ("200", "304"):
        answer = item["responses"].setdefault(status, {"description": HTTPStatus.NOT_MODIFIED.phrase})
        answer["headers"] = tagged | item["responses"]["200"]["headers"] | answer.get("headers", {})


def problems_of(route: Route) -> list[int]:
    """Every status of an error that this route can answer with."""
    operation: Operation = route.operation  # type: ignore[assignment]
    found = set(operation.problems) | {503}
    if route.limit.value != "none":
        found.add(429)
    if route.guard.signed_in:
        found |= {401, 403}
    if operation.body is not None:
        found |= {400, 413, 415, 422}
    if operation.query is not None:
        found.add(422)
    if "<" in route.rule:
        found.add(404)
    return sorted(found - set(operation.answers))


def security_of(guard: Guard) -> list[dict[str, list[str]]]:
    """How to call it: nothing; a session; a token, with its scope."""
    if not guard.signed_in:
        return []
    scope = None if guard.permission is None else SCOPE_OF[guard.permission]
    if guard.permission is not None and scope is None and guard.permission not in ALWAYS_FOR_TOKENS:
        return [{"session": []}]
    return [{"bearer": [] if scope is None else [scope.value]}, {"session": []}]


def _tidy(value: Any) -> None:
    """Take out what pydantic adds for forms: titles made of names, and null as the default of what can't be null."""
    if isinstance(value, list):
        for inner in value:
            _tidy(inner)
    elif isinstance(value, dict):
        if isinstance(value.get("title"), str) and "version" not in value:
            del value["title"]
        if value.get("default", 0) is None:
            del value["default"]
        for inner in value.values():
            _tidy(inner)


def _drop_unused(document: dict[str, Any]) -> None:
    """Take out schemas that nothing refers to: those of query strings, whose fields are parameters already."""
    schemas = document["components"]["schemas"]
    seen: set[str] = set()
    waiting = _references(document["paths"])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting |= _references(schemas[name])
    document["components"]["schemas"] = {name: schemas[name] for name in sorted(seen)}


def _references(value: Any) -> set[str]:
    text = orjson.dumps(value).decode()
    return set(re.findall(r'"#/components/schemas/([^"]+)"', text))


def _drop_null(parameter: dict[str, Any]) -> None:
    """A query parameter is left out, never null."""
    schema = parameter.get("schema") or {}
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        real = [choice for choice in choices if choice != {"type": "null"}]
        if len(real) == 1:
            schema.pop("anyOf")
            schema.update(real[0])
    if schema.get("default", 0) is None:
        schema.pop("default")


def _lift_definitions(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for schema in list(schemas.values()):
        schemas.update({name: found for name, found in schema.pop("$defs", {}).items() if name not in schemas})
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "an API token: sigilo token create"},
        "session": {"type": "apiKey", "in": "cookie", "name": "__Host-sigilo", "description": "a person's browser"},
    }
    document.pop("security", None)
