"""SIGILO_HOME: where one installation keeps its state, its lock and its sockets."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import EmbeddedError, NotRunningError

# sun_path holds 108 bytes including its end. Both servers put short names below the folder, and the
# characters are limited so that no URL, comma list or config file has to quote them.
LONGEST_SOCKET_FOLDER = 80
PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]+")
SHORT_PLACES = ("/tmp", "/var/tmp")  # noqa: S108  (a private 0700 folder is made there)


@dataclass(frozen=True)
class Home:
    """One installation's folder, by its absolute path."""

    path: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Home:
        """The folder that SIGILO_HOME names, else ``var`` in the clone, else ``var`` where we are."""
        named = environ.get("SIGILO_HOME")
        if named:
            return cls(Path(named).absolute())
        clone = Path(__file__).resolve().parent.parent
        base = clone if (clone / "pyproject.toml").exists() else Path.cwd()
        return cls(base / "var")

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    @property
    def demo_credentials(self) -> Path:
        return self.path / "demo-credentials.json"

    def create(self) -> None:
        """Make the folder, closed to others. One that exists keeps the permissions its owner gave it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.secrets.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EmbeddedError(
                f"{error.filename} cannot be made ({error.strerror}): set SIGILO_HOME to a folder of yours"
            ) from None

    def sockets(self) -> Path:
        """A folder for sockets that only this account enters and whose path is short enough for one."""
        inside = self.path / "sockets"
        if fits_a_socket(inside):
            inside.mkdir(mode=0o700, exist_ok=True)
            return inside
        name = f"sigilo-{os.geteuid()}-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]}"
        # Not $XDG_RUNTIME_DIR first: it vanishes at log-out, under a server left running.
        for place in (*SHORT_PLACES, os.environ.get("XDG_RUNTIME_DIR", "")):
            folder = Path(place or "/nonexistent") / name
            if os.access(folder.parent, os.W_OK | os.X_OK) and fits_a_socket(folder):
                return _private_folder(folder)
        raise EmbeddedError(f"the path {self.path} is too long for a socket: set SIGILO_HOME to a shorter one")

    def leave_sockets(self) -> None:
        """Remove the folder of sockets that lies outside the home, when no socket is left in it."""
        with suppress(OSError, EmbeddedError):
            folder = self.sockets()
            if not folder.is_relative_to(self.path):
                folder.rmdir()

    def lock(self) -> HomeLock:
        """Take this installation for this process. Raises EmbeddedError while another one has it.

        The kernel releases the lock with the process, however that ends.
        """
        return HomeLock(self)

    def is_running(self) -> bool:
        """Whether a ``sigilo run`` holds this installation at this moment."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def write_state(self, environment: Mapping[str, str]) -> None:
        """Tell other terminals how to reach the servers: variables that name files, never secrets."""
        write_private(self.path / "state.json", json.dumps({"environment": dict(environment)}, indent=2) + "\n")

    def running_environment(self) -> dict[str, str]:
        """The variables under which the running installation is reached. Raises NotRunningError."""
        if not self.is_running():
            raise NotRunningError(f"nothing runs for {self.path}: start `make run` first, or set DATABASE_URL")
        try:
            environment = json.loads((self.path / "state.json").read_text(encoding="utf-8"))["environment"]
        except FileNotFoundError:
            raise NotRunningError(f"the servers of {self.path} are still starting: try again in a moment") from None
        except OSError as error:
            raise EmbeddedError(f"{self.path}/state.json cannot be read: {error.strerror}") from None
        return {str(name): str(value) for name, value in environment.items()}

    def forget_state(self) -> None:
        (self.path / "state.json").unlink(missing_ok=True)


class HomeLock:
    """Held from ``Home.lock()`` until ``release()`` or the end of the process."""

    def __init__(self, home: Home) -> None:
        path = home.path / "lock"
        try:
            # O_CLOEXEC: the children must not keep the lock when this process is killed.
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EmbeddedError(
                f"{path} cannot be opened ({error.strerror}): run as its owner, or set another SIGILO_HOME"
            ) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise EmbeddedError(
                f"Sigilo already runs on {home.path} (process {pid}): stop it, or set other SIGILO_HOME, PORT"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def fits_a_socket(folder: Path) -> bool:
    """Whether a socket below ``folder`` has a path that every client and server takes."""
    text = str(folder)
    return len(os.fsencode(text)) <= LONGEST_SOCKET_FOLDER and PLAIN_PATH.fullmatch(text) is not None


def write_private(path: Path, text: str) -> None:
    """Write ``path`` with mode 0600, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _private_folder(folder: Path) -> Path:
    """Make ``folder`` in a place anybody writes to; refuse one that another account laid there first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise EmbeddedError(
            f"{folder} is not a private folder of yours: remove it, or set SIGILO_HOME to a shorter path"
        )
    return folder
