"""Children that die with their parent, and finding those that did not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from embedded.process import (
    end_strangers,
    is_alive,
    processes_in,
    processes_marked,
    spawn,
    stop,
    wait_until,
)

ROOT = Path(__file__).resolve().parent.parent.parent
SLEEP = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
# Starts a child through spawn(), says its number and waits.
PARENT = f"""
import sys, time
from pathlib import Path
from embedded.process import spawn
child = spawn([sys.executable, "-c", {SLEEP!r}], environment={{}}, folder=Path("/"), log=Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(60)
"""


def started(code: str, log: Path, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """A child running ``code``, which has said that it is up."""
    child = spawn([sys.executable, "-c", code], environment=environment or {}, folder=log.parent, log=log)
    assert wait_until(lambda: log.exists() and "up" in log.read_text(), 10)
    return child


def test_child_dies_when_its_parent_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    assert wait_until(lambda: not is_alive(child), 5)


def test_stop_is_gentle_with_who_listens(tmp_path: Path) -> None:
    child = started(SLEEP, tmp_path / "log")
    assert stop(child, ((signal.SIGTERM, 5.0),))
    assert child.returncode == -signal.SIGTERM


def test_stop_kills_who_does_not_listen_and_whom_it_started(tmp_path: Path) -> None:
    grandchild = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); "
    child = started(grandchild + "open('pid', 'w').write(str(p.pid)); " + DEAF, tmp_path / "log")
    pid = int((tmp_path / "pid").read_text())
    assert not stop(child, ((signal.SIGTERM, 0.1),))
    assert child.returncode == -signal.SIGKILL
    assert wait_until(lambda: not is_alive(pid), 5)


def test_strangers_are_found_by_mark_and_by_folder_and_ended(tmp_path: Path) -> None:
    mark = f"{tmp_path}/home"
    child = started(DEAF, tmp_path / "log", {"SIGILO_TEST_MARK": mark})
    name = Path(f"/proc/{child.pid}/comm").read_text().strip()
    assert processes_marked("SIGILO_TEST_MARK", mark) == [child.pid]
    assert processes_marked("SIGILO_TEST_MARK", f"{mark}/other") == []
    assert processes_in(tmp_path, name) == [child.pid]
    assert processes_in(tmp_path, "postgres") == []

    steps = ((signal.SIGTERM, 0.1), (signal.SIGKILL, 5.0))
    assert end_strangers(lambda: processes_marked("SIGILO_TEST_MARK", mark), steps)
    child.wait()


def test_own_process_is_never_among_the_marked() -> None:
    name, value = next((name, value) for name, value in os.environ.items() if value)
    assert os.getpid() not in processes_marked(name, value)
