"""The programs that root copies for PostgreSQL's account: whole or not there, and for nobody else to change."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from embedded import system_account
from embedded.process import Account
from embedded.system_account import place_programs

ACCOUNT = Account("anybody", os.geteuid(), os.getegid())  # a group that whoever runs this may give files to


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with two PostgreSQLs that nobody but its owner may read, as a private umask leaves it."""
    monkeypatch.setattr(system_account, "SYSTEM_FOLDER", tmp_path / "system")
    package = tmp_path / "brought"
    for name in ("old", "new"):
        (package / name / "bin").mkdir(parents=True)
        (package / name / "include").mkdir()
        program = package / name / "bin" / "postgres"
        program.write_text(name)
        program.chmod(0o700)
    (tmp_path / "brought.libs").mkdir()
    (tmp_path / "brought.libs" / "libpq.so").write_text("pq")
    return package


def test_each_postgresql_has_a_folder_of_its_own_with_the_libraries_beside(wheel: Path) -> None:
    for name in ("old", "new"):
        placed = place_programs(wheel / name, "1.0", ACCOUNT)
        assert (placed / "bin" / "postgres").read_text() == name
        assert (placed.parent.parent / "brought.libs" / "libpq.so").read_text() == "pq"
        assert not (placed / "include").exists() and len(list(placed.parent.iterdir())) == 1


def test_the_account_may_run_them_and_nobody_but_their_owner_change_them(wheel: Path) -> None:
    placed = place_programs(wheel / "new", "1.0", ACCOUNT)
    folder, program = placed.parent.parent, placed / "bin" / "postgres"
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    folder.chmod(0o700)  # of a start that was killed, or by somebody who tidied up
    place_programs(wheel / "new", "1.0", ACCOUNT)
    seen = folder.stat()
    assert (seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)) == (os.geteuid(), ACCOUNT.gid, 0o750)


def test_a_copy_that_was_killed_is_made_anew(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shutil.copytree

    def killed(source: os.PathLike[str], *further: Any, **options: Any) -> Any:
        if os.fspath(source).endswith(".libs"):
            raise KeyboardInterrupt
        return whole(source, *further, **options)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", killed)
        with pytest.raises(KeyboardInterrupt):
            place_programs(wheel / "new", "1.0", ACCOUNT)
    placed = place_programs(wheel / "new", "1.0", ACCOUNT)
    assert (placed.parent.parent / "brought.libs" / "libpq.so").read_text() == "pq"


def test_it_is_copied_once_for_each_version_of_the_wheel(wheel: Path) -> None:
    placed = place_programs(wheel / "new", "1.0", ACCOUNT)
    (wheel / "new" / "bin" / "postgres").write_text("newer")
    assert place_programs(wheel / "new", "1.0", ACCOUNT) == placed
    assert (placed / "bin" / "postgres").read_text() == "new"
    assert (place_programs(wheel / "new", "1.1", ACCOUNT) / "bin" / "postgres").read_text() == "newer"
