"""Both colours as plain processes, for deploy/switch: ``python -m tests.deploy.hooks FOLDER COMMAND COLOUR``.

``FOLDER/ports.json`` says where each listens, ``FOLDER/release.json`` the environment that the release which is
installed now is started in. A colour is resumed as what it was started as last.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from embedded.process import is_alive, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_SECONDS = 60.0
WORKERS = "1"


def start(folder: Path, colour: str) -> None:
    started_as(folder, colour).write_text((folder / "release.json").read_text())
    resume(folder, colour)


def resume(folder: Path, colour: str) -> None:
    environment = json.loads(started_as(folder, colour).read_text())
    command = [sys.executable, "-m", "cli", "web", "--port", str(port(folder, colour)), "--workers", WORKERS]
    with (folder / f"{colour}.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    (folder / f"{colour}.pid").write_text(str(process.pid))


def stop(folder: Path, colour: str) -> None:
    pid = pid_of(folder, colour)
    if pid and is_alive(pid):
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: not is_alive(pid), STOP_SECONDS):
            sys.exit(f"{colour} did not end within {STOP_SECONDS:g} s")


def runs(folder: Path, colour: str) -> None:
    pid = pid_of(folder, colour)
    if pid and is_alive(pid):
        sys.stdout.write(f"{pid}\n")


def ready(folder: Path, colour: str) -> None:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port(folder, colour)}/readyz", timeout=5).close()
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code} {error.read().decode()}")
    except OSError as error:
        sys.exit(str(error))


def fetch(_: Path, url: str) -> None:
    """What the proxy answers inside."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
        sys.stdout.write(answer.read().decode())


def smoke(folder: Path, colour: str) -> None:
    command = [sys.executable, "-m", "cli", "smoke", f"http://127.0.0.1:{port(folder, colour)}"]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)


def outside(folder: Path, _: str, url: str, authority: str) -> None:
    command = [sys.executable, "-m", "cli", "smoke", url, "--authority", authority]
    sys.exit(subprocess.run(command, cwd=ROOT, check=False).returncode)


def started_as(folder: Path, colour: str) -> Path:
    return folder / f"{colour}.json"


def port(folder: Path, colour: str) -> int:
    return int(json.loads((folder / "ports.json").read_text())[colour])


def pid_of(folder: Path, colour: str) -> int:
    file = folder / f"{colour}.pid"
    return int(file.read_text()) if file.exists() else 0


if __name__ == "__main__":
    commands = {each.__name__: each for each in (start, resume, stop, runs, ready, smoke, outside, fetch)}
    commands[sys.argv[2]](Path(sys.argv[1]), *sys.argv[3:])
