"""The OpenAPI document, and a page that shows it without a line of inline script."""

from __future__ import annotations

import hashlib

import orjson
from flask import Response, current_app, render_template, request

from web.api.answers import JSON, etag_matches
from web.api.openapi import build_document
from web.guards import PUBLIC, Routes, route_table

EXTENSION = "openapi_document"

routes = Routes("docs")


def show_document() -> Response:
    """Built at the first request and kept: the routes of a process do not change."""
    known = current_app.extensions.get(EXTENSION)
    if known is None:
        data = orjson.dumps(build_document(route_table(current_app).values()))
        known = current_app.extensions[EXTENSION] = (data, f'"{hashlib.sha256(data).hexdigest()[:16]}"')
    data, etag = known
    if etag_matches(request.headers.get("If-None-Match"), etag):
        return Response(status=304, headers={"ETag": etag})
    return Response(data, mimetype=JSON, headers={"ETag": etag})


def show_page() -> str:
    return render_template("docs/docs.html")


routes.add("/api/openapi.json", view=show_document, guard=PUBLIC)
routes.add("/api/docs", view=show_page, guard=PUBLIC)
