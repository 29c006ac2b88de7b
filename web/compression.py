"""Pages leave compressed, for the sake of slow lines; JSON does not, for the sake of its speed.

Compressing secrets beside reflected input is what BREACH lives on. It needs a victim's cookies on requests that
another site makes: ours are SameSite, and such requests are refused (``web/csrf.py``).
"""

from __future__ import annotations

import gzip

from flask import Flask, Response, request

SMALLEST = 1024  # bytes below which nothing is gained
LEVEL = 5


def register_compression(app: Flask) -> None:
    app.after_request(compress)


def takes_gzip() -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "")


def compress(response: Response) -> Response:
    if response.mimetype != "text/html" or response.direct_passthrough or response.is_streamed:
        return response
    response.headers.add("Vary", "Accept-Encoding")
    if response.content_encoding is None and takes_gzip():
        content = response.get_data()
        if len(content) >= SMALLEST:
            response.set_data(gzip.compress(content, LEVEL, mtime=0))
            response.content_encoding = "gzip"
    return response
