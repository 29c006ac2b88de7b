"""A small HTTP server beside the work of a worker or the scheduler, for Prometheus and nothing else."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog

from observability.exposition import render
from observability.metrics_access import ONLY_FOR, may_read_metrics
from observability.state_metrics import build_family

PATH = "/metrics"
SLOWEST_SECONDS = 5.0

log = structlog.get_logger()
Networks = tuple[IPv4Network | IPv6Network, ...]


def serve_metrics(host: str, port: int, *, networks: Networks, token: str, version: str) -> Callable[[], None] | None:
    """Answer at ``host:port`` in a thread of this process, until what is given back is called. Without it where the
    address can't be had: the work is worth more than its numbers, and Prometheus sees that nobody answers."""
    try:
        server = make_server(
            host, port, _application(networks, token, version), _server_class(host), handler_class=_QuietHandler
        )
    except OSError as error:
        log.error("metrics are not served", port=port, reason=error.strerror)
        return None
    # A child that outlives us must not keep the port.
    os.register_at_fork(after_in_child=server.socket.close)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


def _application(networks: Networks, token: str, version: str) -> Callable[..., Iterable[bytes]]:
    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # No proxy belongs here: who comes through one has no address that says anything.
        address = None if "HTTP_X_FORWARDED_FOR" in environ else ip_address(environ["REMOTE_ADDR"])
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        status, body, content_type = "404 Not Found", b"", "text/plain"
        if not may_read_metrics(address, authorization, networks=networks, token=token):
            status, body = "403 Forbidden", ONLY_FOR.encode()
        elif environ["PATH_INFO"] == PATH and environ["REQUEST_METHOD"] == "GET":
            status = "200 OK"
            body, content_type = render(environ.get("HTTP_ACCEPT", ""), more=[build_family(version)])
        start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def _server_class(host: str) -> type[WSGIServer]:
    class Server(ThreadingMixIn, WSGIServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

        def server_bind(self) -> None:
            # Not HTTPServer's way, which asks the name service who we are.
            TCPServer.server_bind(self)
            self.server_name, self.server_port = host, self.server_address[1]
            self.setup_environ()

    return Server


class _QuietHandler(WSGIRequestHandler):
    timeout = SLOWEST_SECONDS

    def address_string(self) -> str:
        return str(self.client_address[0])  # nor who asks

    def log_message(self, *_: Any) -> None:
        """Nobody reads that somebody scraped."""
