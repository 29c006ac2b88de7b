"""What stands in front of the web server: a proxy that speaks TLS, and that spoils what a test asks it to."""

from __future__ import annotations

import http.client
import ssl
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.http_server import serving


@dataclass
class Spoilt:
    """Header names in lower case. ``without``: left out of answers; ``instead``: said whatever the server said;
    ``refuses``: 429 to every API call."""

    without: set[str] = field(default_factory=set)
    instead: Mapping[str, str] = field(default_factory=dict)
    refuses: bool = False


class Front(ThreadingHTTPServer):
    """Hands each request on to ``port`` over one connection of its own."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.spoilt = port, Spoilt()


class _Handler(BaseHTTPRequestHandler):
    server: Front

    def do_GET(self) -> None:
        spoilt = self.server.spoilt
        if spoilt.refuses and self.path.startswith("/api/"):
            self.send_response(429)
            self.send_header("X-Request-Id", "refused-by-the-front")
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=20)
        connection.request(self.command, self.path, body or None, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        dropped = {"transfer-encoding", "connection", "content-length", *spoilt.without, *spoilt.instead}
        for name, value in answer.getheaders():
            if name.lower() not in dropped:
                self.send_header(name, value)
        for name, value in spoilt.instead.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    def do_POST(self) -> None:
        self.do_GET()

    def do_OPTIONS(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def front(port: int, certificate: Path, *, old_tls: bool = False) -> Iterator[Front]:
    """Over TLS 1.2 and newer; or, with ``old_tls``, 1.0 and 1.1 as well. ``certificate``: a PEM with its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if old_tls:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
    made = Front(port)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    with serving(made, threading.Event()) as server:
        yield server


class _Saying(BaseHTTPRequestHandler):
    """Answers every GET with the server's ``answer``: status, headers, body."""

    def do_GET(self) -> None:
        status, headers, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def saying(body: str = "", *, status: int = 200, **headers: str) -> Iterator[str]:
    """The address of a server that has one answer: somebody's metrics, Prometheus, port 80."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Saying)
    made.answer = (status, headers, body.encode())  # type: ignore[attr-defined]
    with serving(made, threading.Event()) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"
