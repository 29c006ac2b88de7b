"""The clinic's address as the world has it: TLS, with a certificate of its own, in front of nothing."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.factories.certificate import make_certificate
from tests.http_server import serving


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"ready\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def tls_front(folder: Path) -> Iterator[tuple[str, Path]]:
    """Its address, and the certificate that it is known by."""
    private, certificate = make_certificate()
    known = folder / "front.crt"
    known.write_text(certificate)
    (folder / "front.pem").write_text(private + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "front.pem")
    made = ThreadingHTTPServer(("127.0.0.1", 0), _Ready)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    with serving(made, threading.Event()) as server:
        yield f"https://127.0.0.1:{server.server_address[1]}/readyz", known
