"""What every view answers with: Flask's response, which goes to the server in one piece when it is whole already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

OK = 200
LENGTH = "Content-Length"


class Answer(Response):
    """A body that is there as bytes is given as a list: for anything else the server has to open a channel and ask for
    piece after piece. Werkzeug wraps all bodies in an iterator, and copies the headers to look for what only other
    answers have: redirects, those without a body, those that something waits for the end of."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body: Any = self.response
        is_whole = type(body) is list and len(body) == 1 and type(body[0]) is bytes and LENGTH in self.headers
        if not is_whole or self.status_code != OK or self._on_close or environ["REQUEST_METHOD"] == "HEAD":
            return super().__call__(environ, start_response)
        start_response(self.status, self.headers.to_wsgi_list())
        whole: list[bytes] = body
        return whole
