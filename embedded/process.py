"""Child processes that never outlive their parent, and the search for those that did."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
# Looked up before any fork: between fork and exec nothing may be imported or looked up.
_PRCTL = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Account:
    """A system account that a child runs as, when this process is root."""

    name: str
    uid: int
    gid: int


def die_with_parent(death_signal: signal.Signals) -> None:
    """Have the kernel send this process ``death_signal`` when its parent ends, ``kill -9`` included."""
    if _PRCTL is not None:
        _PRCTL(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)


def spawn(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    folder: Path,
    log: Path | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    account: Account | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session of its own, so that Ctrl-C reaches this process alone.

    ``log`` takes its output; without one it shares ours. Raises OSError when it cannot be started.
    """
    parent = os.getpid()

    def tie_to_parent() -> None:
        # After the change of account, which would clear it; the parent may already be gone by now.
        die_with_parent(death_signal)
        if os.getppid() != parent:
            os._exit(1)

    output = None
    if log is not None:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            [os.fspath(part) for part in command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=tie_to_parent,  # noqa: PLW1509  (calls the kernel only, see _PRCTL)
        )
    finally:
        if output is not None:
            os.close(output)


def stop(process: subprocess.Popen[bytes], steps: Iterable[tuple[signal.Signals, float]]) -> bool:
    """Send each signal and wait its seconds until the process ends; then end what is left of its group.

    The last resort is SIGKILL. Returns whether the process ended before it.
    """
    gently = True
    for step, seconds in steps:
        if process.poll() is not None:
            break
        process.send_signal(step)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        gently = False
        process.kill()
        process.wait()
    end_group(process.pid)
    return gently


def end_group(leader: int) -> None:
    """SIGKILL whoever is left of the process group that ``leader`` began."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:
        # Processes of another account in our own child's group: only a reused number explains that.
        pass


def processes() -> list[int]:
    """Every process that this one can see."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()] if os.path.isdir("/proc") else []


def processes_in(folder: Path, program: str) -> list[int]:
    """Processes called ``program`` whose working folder is ``folder``, as those of a database server are."""
    wanted = os.path.realpath(folder)
    found = []
    for pid in processes():
        try:
            inside = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)") == wanted
            if inside and Path(f"/proc/{pid}/comm").read_text().strip() == program and is_alive(pid):
                found.append(pid)
        except OSError:
            continue  # ended meanwhile, or another account's
    return found


def processes_marked(name: str, value: str) -> list[int]:
    """Processes, this one left out, that were started with the variable ``name`` set to ``value``."""
    marker = os.fsencode(f"{name}={value}")
    found = []
    for pid in processes():
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if marker in variables and pid != os.getpid() and is_alive(pid):
            found.append(pid)
    return found


def is_alive(pid: int) -> bool:
    """Whether ``pid`` is a process that has not ended (one its parent has yet to collect has ended)."""
    try:
        # The command in brackets may hold spaces and brackets itself: the state follows the last one.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def end_strangers(find: Callable[[], list[int]], steps: Iterable[tuple[signal.Signals, float]]) -> bool:
    """End processes that are not our children: send each signal and wait its seconds until ``find`` is empty.

    Returns whether nothing is left.
    """
    for step, seconds in steps:
        for pid in find():
            try:
                os.kill(pid, step)
            except ProcessLookupError:
                continue
        if wait_until(lambda: not find(), seconds):
            return True
    return not find()


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether ``condition`` came true within ``seconds``; looked at often, asleep in between."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
