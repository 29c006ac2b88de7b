"""The web server's process: granian, which on SIGTERM first says that it is going, and goes some seconds later.

Whoever sends requests here learns from /readyz (web/draining.py) to send them elsewhere, while those that still come
are answered. Granian's own command closes its door at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer

from web.draining import marker

KILL_SECONDS = 8  # a worker that hangs at the stop is ended


class DrainingServer(MPServer):
    """``drain``: seconds between SIGTERM and the stop. A second signal, or Ctrl-C, does not wait."""

    def __init__(self, target: str, *, drain: float, said_in: Path | None, **options: Any) -> None:
        super().__init__(target, **options)
        self._drain = drain
        self._said_in = said_in
        self._is_draining = False

    def signal_handler_interrupt(self, number: int = 0, *_: Any) -> None:
        """Granian's handler, of SIGTERM and SIGINT alike."""
        if number != signal.SIGTERM or self._said_in is None or self._drain <= 0 or self._is_draining:
            super().signal_handler_interrupt()  # type: ignore[no-untyped-call]
            return
        self._is_draining = True
        self._said_in.touch()
        going = threading.Timer(self._drain, super().signal_handler_interrupt)
        going.daemon = True
        going.start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--drain", type=float, required=True)
    given = parser.parse_args()
    DrainingServer(
        given.target, drain=given.drain, said_in=marker(os.environ), address=given.host, port=given.port,
        interface=Interfaces.WSGI, http=HTTPModes.http1, websockets=False, workers=given.workers,
        blocking_threads=given.threads, log_level=LogLevels.warning,
        # A worker that ends is replaced.
        respawn_failed_workers=True, respawn_interval=0.5, workers_kill_timeout=KILL_SECONDS,
    ).serve()  # fmt: skip


if __name__ == "__main__":
    main()
