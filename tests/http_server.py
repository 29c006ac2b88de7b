"""A server of a test's own, over real HTTP on a free port, until the end of the block."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import TypeVar

Server = TypeVar("Server", bound=ThreadingHTTPServer)


@contextmanager
def serving(made: Server, closing: threading.Event) -> Iterator[Server]:
    """``closing`` is set before the server ends: answers that hang wait for it, so that none outlives its server."""
    with made as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            closing.set()
            server.shutdown()
            thread.join()
