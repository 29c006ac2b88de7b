"""The real web server, as ``sigilo run`` starts it, over the tests' database and Redis."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config import Principal, Settings
from embedded.serving import WEB_WORKERS, metrics_environment, web_command
from tests.telling import telling

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 40.0


@dataclass(frozen=True)
class LiveServer:
    """Where it listens, and the processes behind it."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body of one request on a connection of its own."""
        return self.send("GET", path, headers)

    def send(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: object = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=headers or {}, encode_chunked=False)  # type: ignore[arg-type]
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


def web_environment(settings: Settings) -> dict[str, str]:
    """What a web process of a test's own is started in, but for its port."""
    return {
        # Not measured for coverage: it would answer half as fast, and what pages run is measured in tests/web.
        **{name: value for name, value in os.environ.items() if not name.startswith("COV")},
        "SIGILO_ENV": settings.sigilo_env,
        "SIGILO_HOME": str(settings.sigilo_home),
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "FIELD_KEY": settings.field_key.get_secret_value(),
        "AUDIT_SIGNING_KEY": settings.audit_signing_key.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "DATABASE_POOL_SIZE": "4",
        **{f"DATABASE_URL_{principal.name}": settings.url_for(principal) for principal in Principal},
    }


@contextmanager
def live_server(
    settings: Settings, folder: Path, *, port: int | None = None, workers: int = WEB_WORKERS, drain: float = 0,
    **variables: str,
) -> Iterator[LiveServer]:  # fmt: skip
    """Start it on a free port, or on ``port`` again, with ``workers`` processes; end it, and what it started,
    afterwards. ``drain``: seconds that it goes on after SIGTERM."""
    if port is None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
    environment = {**web_environment(settings), "PORT": str(port), **variables}
    log = folder / f"web-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            web_command(host="127.0.0.1", port=port, workers=workers, drain=drain),
            env=metrics_environment(environment, folder / f"metrics-{port}"),
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = LiveServer(port, process, log)
    try:
        wait_until_ready(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert not list(telling(log.read_text(errors="replace")))


def wait_until_ready(server: LiveServer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert server.process.poll() is None, server.log.read_text(errors="replace")[-2000:]
        try:
            if server.get("/livez")[0] == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, f"not ready: {server.log.read_text(errors='replace')[-2000:]}"
        time.sleep(0.05)
