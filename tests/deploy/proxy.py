"""Debian's Caddy with the files of deploy/caddy, on free ports of this machine and with an authority of its own."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from functools import cache
from pathlib import Path

import httpx

from embedded.process import wait_until
from tests.installation import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = ROOT / "deploy" / "caddy" / "Caddyfile"


@cache
def caddy() -> str:
    found = subprocess.run([ROOT / "scripts" / "install-caddy"], stdout=subprocess.PIPE, text=True, check=True)
    return found.stdout.strip()


class Proxy:
    """``upstreams``: colour → port. ``folder`` keeps its state, its ``authority``'s certificate, its log and static
    files."""

    def __init__(self, folder: Path, upstreams: dict[str, int]) -> None:
        self.state, self.static, self.log = folder / "state", folder / "static", folder / "caddy.log"
        self.state.mkdir()
        self.authority = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        self.http, self.https, self._inside, self._admin = (free_port() for _ in range(4))
        self.addresses = {colour: f"127.0.0.1:{port}" for colour, port in upstreams.items()}
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "SIGILO_SITE": "localhost", "SIGILO_TLS": "internal",
            "SIGILO_BLUE": self.addresses["blue"], "SIGILO_GREEN": self.addresses["green"],
            "SIGILO_STATE": str(self.state), "SIGILO_STATIC": str(self.static),
            "SIGILO_HTTP_PORT": str(self.http), "SIGILO_HTTPS_PORT": str(self.https),
            "SIGILO_HOLD": "500ms",
            "SIGILO_INSIDE": f"127.0.0.1:{self._inside}", "SIGILO_ADMIN": f"localhost:{self._admin}",
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}"

    @property
    def inside(self) -> str:
        return f"http://127.0.0.1:{self._inside}"

    @property
    def admin(self) -> str:
        return f"http://localhost:{self._admin}"

    def trust(self) -> ssl.SSLContext:
        """What a client needs that trusts this proxy and nobody else."""
        return ssl.create_default_context(cafile=str(self.authority))

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [caddy(), "run", "--config", str(CONFIG), "--adapter", "caddyfile"],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        assert wait_until(self._listens, 20), self.log.read_text()

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            httpx.get(f"{self.inside}/metrics", timeout=2, trust_env=False)
            if not self.authority.exists():
                return False
            # Its certificate is made a moment later, and until then it refuses whoever comes.
            with socket.create_connection(("localhost", self.https), timeout=2) as line:
                self.trust().wrap_socket(line, server_hostname="localhost").close()
        except (httpx.TransportError, OSError):
            return False
        return True

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
