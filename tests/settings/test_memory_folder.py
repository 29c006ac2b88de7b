"""The folder in memory that a run's databases lie in: there where there is room, gone afterwards, even after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import memory_tablespace
from tests.memory_tablespace import NEW_SECONDS, memory_folder

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.memory_tablespace import memory_folder
with memory_folder(Path(sys.argv[1])) as folder:
    (folder / "page").write_text("of a database")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_is_removed_at_the_end(tmp_path: Path) -> None:
    with memory_folder(tmp_path) as folder:
        assert folder is not None
        (folder / "page").write_text("of a database")
    assert list(tmp_path.iterdir()) == []


def test_the_next_run_removes_what_a_killed_one_left_and_nothing_of_one_that_goes_on(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=ROOT, check=False)
    (left,) = tmp_path.iterdir()
    long_ago = time.time() - 2 * NEW_SECONDS
    with memory_folder(tmp_path) as going_on:
        assert going_on is not None
        assert left.is_dir(), "a new one may be about to be locked"
        for folder in (left, going_on):
            os.utime(folder, (long_ago, long_ago))
        with memory_folder(tmp_path):
            assert not left.exists()
            assert going_on.is_dir()


def test_without_room_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_tablespace, "ENOUGH", 1024**6)
    with memory_folder(tmp_path) as folder:
        assert folder is None
    with memory_folder(tmp_path / "nowhere") as folder:
        assert folder is None
