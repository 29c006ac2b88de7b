"""Both colours, the proxy before them, and deploy/switch, which is run as an operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config import Settings
from embedded.process import is_alive, wait_until
from tests.deploy.hooks import pid_of
from tests.deploy.proxy import ROOT, Proxy
from tests.installation import free_port
from tests.telling import telling
from tests.web.live_server import web_environment

SWITCH = ROOT / "deploy" / "switch"
PLENTY = "1000000/minute"
COLOURS = ("blue", "green")


class Clinic:
    """Production's settings, but for quotas that a test would soon have used up."""

    def __init__(self, folder: Path, settings: Settings, *, drain: float = 2.0, watch: float = 2.0) -> None:
        self.folder = folder
        self.ports = {colour: free_port() for colour in COLOURS}
        self.proxy = Proxy(folder, self.ports)
        self.environment = {
            **web_environment(settings), "SIGILO_ENV": "production", "TRUSTED_PROXIES": "127.0.0.1",
            "PUBLIC_URL": self.proxy.url, "DRAIN_SECONDS": f"{drain:g}",
            "SIGILO_HOME": str(folder / "home"), "STATIC_FOLDER": str(self.proxy.static),
            **{f"RATE_LIMIT_{kind}": PLENTY for kind in ("DEFAULT", "PAGES", "LIVE", "ANONYMOUS", "LOGIN")},
        }  # fmt: skip
        (folder / "ports.json").write_text(json.dumps(self.ports))
        self.install()
        self._hooks = folder / "hooks.json"
        self._hooks.write_text(json.dumps({"addresses": self.proxy.addresses, **self._table()}))
        self._watch = watch

    def _table(self) -> dict[str, list[str]]:
        own = [sys.executable, "-m", "tests.deploy.hooks", str(self.folder)]
        return {
            **{name: [*own, name, "{colour}"] for name in ("start", "resume", "stop", "runs", "ready", "smoke")},
            "outside": [*own, "outside", "{colour}", self.proxy.url, str(self.proxy.authority)],
            "serving": [*own, "fetch", f"{self.proxy.inside}/serving"],
            "upstreams": [*own, "fetch", f"{self.proxy.admin}/reverse_proxy/upstreams"],
        }

    def install(self, **variables: str) -> None:
        """The release that the next switch brings up: this program, with ``variables`` of its own."""
        (self.folder / "release.json").write_text(json.dumps(self.environment | variables))

    def begin_switch(self, *arguments: str, **commands: list[str]) -> subprocess.Popen[str]:
        """deploy/switch with ``commands`` in place of those of the table."""
        hooks = self._hooks
        if commands:
            hooks = self.folder / "other-hooks.json"
            hooks.write_text(json.dumps(json.loads(self._hooks.read_text()) | commands))
        return subprocess.Popen(
            [SWITCH, "--hooks", hooks, "--state", self.proxy.state, "--watch-seconds", f"{self._watch:g}",
             "--proxy-seconds", "3", "--ready-seconds", "60", *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def switch(self, *arguments: str, **commands: list[str]) -> tuple[int, str]:
        """Exit code and everything that it said."""
        process = self.begin_switch(*arguments, **commands)
        said, _ = process.communicate(timeout=180)
        return process.returncode, said

    @property
    def serves(self) -> list[str]:
        return [path.name for path in self.proxy.state.iterdir() if not path.name.startswith(".")]

    def running(self) -> list[str]:
        return [colour for colour in COLOURS if (pid := pid_of(self.folder, colour)) and is_alive(pid)]

    def end(self) -> None:
        self.proxy.stop()
        for colour in COLOURS:
            subprocess.run(
                [sys.executable, "-m", "tests.deploy.hooks", self.folder, "stop", colour], cwd=ROOT, check=True,
                env=os.environ,
            )  # fmt: skip
        for log in self.folder.glob("*.log"):
            assert not list(telling(log.read_text(errors="replace"))), log.name


@contextmanager
def clinic_at(folder: Path, settings: Settings, *, drain: float = 2.0, watch: float = 2.0) -> Iterator[Clinic]:
    """With blue serving, as after the first release."""
    made = Clinic(folder, settings, drain=drain, watch=watch)
    try:
        made.proxy.start()
        code, said = made.switch()
        assert code == 0, said
        assert wait_until(lambda: made.serves == ["blue"], 1), said
        yield made
    finally:
        made.end()
