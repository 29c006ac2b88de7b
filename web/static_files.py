"""Static files under addresses that name their content: ``/static/<fingerprint>/<path>``, kept for ever by caches."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from functools import cache
from pathlib import Path

from flask import Flask, Response
from werkzeug.exceptions import NotFound

from web.compression import takes_gzip
from web.guards import PUBLIC, Limit, Routes

FOLDER = Path(__file__).parent / "static"
FOREVER = "public, max-age=31536000, immutable"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2"}

routes = Routes("static")


@cache
def files() -> dict[str, tuple[str, bytes]]:
    """Path below the folder → (fingerprint, content), of every file there is: nothing else can be asked for."""
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found[path.relative_to(FOLDER).as_posix()] = (hashlib.sha256(content).hexdigest()[:12], content)
    return found


def static_url(name: str) -> str:
    """Address of the file ``name``. Raises KeyError when there is none."""
    return f"/static/{files()[name][0]}/{name}"


def show_file(fingerprint: str, name: str) -> Response:
    known, content = files().get(name, ("", b""))
    if fingerprint != known:
        raise NotFound
    kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    answer = Response(content, mimetype=kind, headers={"Cache-Control": FOREVER, "Vary": "Accept-Encoding"})
    packed = compressed(name)
    if packed is not None and takes_gzip():
        answer.set_data(packed)
        answer.headers["Content-Encoding"] = "gzip"
    return answer


@cache
def compressed(name: str) -> bytes | None:
    """The file as gzip, made once; None where that saves nothing."""
    content = files()[name][1]
    packed = gzip.compress(content, 9, mtime=0)
    return packed if len(packed) < 0.9 * len(content) else None


def register_static(app: Flask) -> None:
    app.jinja_env.globals["static_url"] = static_url


routes.add("/static/<fingerprint>/<path:name>", view=show_file, guard=PUBLIC, limit=Limit.NONE)
