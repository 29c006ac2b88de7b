"""A process in the image's file system, as a container engine would start it: its own account, no capability, nothing
to write but temporary folders and the volume, and no environment but what is given.

There is no engine here, so the kernel's own calls stand in for it: namespaces for mounts and processes, a read-only
bind of the tree, a chroot, and an account that can gain nothing (unshare, mount, setpriv). The network is this
machine's.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

ENTER = """
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
mount --bind "$2" "$1$3"
mount -t proc proc "$1/proc"
for each in tmp dev; do mount -t tmpfs -o mode=1777,size=64m tmpfs "$1/$each"; done
for each in null zero random urandom; do
    : >"$1/dev/$each"
    mount --bind "/dev/$each" "$1/dev/$each"
done
mkdir -m 1777 "$1/dev/shm"
mount --bind /etc/resolv.conf "$1/etc/resolv.conf" 2>/dev/null || true
mount -o remount,ro,bind "$1"
root=$1
user=$4
shift 4
exec chroot "$root" setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups --no-new-privs \\
    --inh-caps=-all --bounding-set=-all env --ignore-environment "$@"
"""


class Image:
    """The unpacked image: where it lies, and what its configuration says. Files are read from outside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        inspected = json.loads(root.with_suffix(".json").read_text())
        self.configuration: dict[str, Any] = inspected["OCIv1"]["config"]
        form, *self.health_check = inspected["Docker"]["config"]["Healthcheck"]["Test"]
        assert form == "CMD", "its health check wants a shell"

    def words(self, name: str) -> list[str]:
        found: list[str] = self.configuration[name]
        return found

    def run(self, *arguments: str, state: Path, environment: Mapping[str, str], log: IO[str]) -> Container:
        """``docker run`` with ``arguments`` in place of the image's own, and ``state`` as its volume."""
        return self.start([*self.words("Entrypoint"), *arguments], state=state, environment=environment, log=log)

    def start(
        self, command: Sequence[str], *, state: Path, environment: Mapping[str, str], log: IO[str]
    ) -> Container:
        """The same with another entrypoint."""
        (volume,) = dict(self.configuration["Volumes"])
        variables = [*self.words("Env"), *(f"{name}={value}" for name, value in environment.items())]
        inside = [f"--chdir={self.configuration['WorkingDir']}", *variables, *command]
        user = str(self.configuration["User"])
        return Container(
            subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "sh", "-c", ENTER, "enter", str(self.root),
                 str(state), volume, user, *inside],
                stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )
        )  # fmt: skip


class Container:
    """One that runs. Its first process gets the signals, as from an engine."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def has_ended(self) -> bool:
        """It has no members before its first process is there, either."""
        return self._process.poll() is not None

    @property
    def members(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self._process.pid).children(recursive=True)
        return found

    def stop(self, seconds: float = 30.0) -> int:
        """``docker stop``: SIGTERM, then its exit status; it is killed after ``seconds``, which is an error."""
        if self._process.poll() is None:
            psutil.Process(self._process.pid).children()[0].send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float) -> int:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """Its first process, and everything in its namespace with it."""
        with suppress(psutil.NoSuchProcess, IndexError):
            psutil.Process(self._process.pid).children()[0].kill()
        self._process.wait()
