"""Files outside the database come back as they were, and none lies elsewhere than below its folder."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from backups.files import read_files


def packed(*names: str, kind: bytes = tarfile.REGTYPE) -> BytesIO:
    tar = BytesIO()
    with tarfile.open(fileobj=tar, mode="w|") as writing:
        for name in names:
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime, member.linkname = kind, 0o4677, 1_700_000_000, "/etc/hostname"
            content = name.encode() if kind == tarfile.REGTYPE else b""
            member.size = len(content)
            writing.addfile(member, BytesIO(content))
    tar.seek(0)
    return tar


def test_a_file_comes_back_with_its_time_and_nobody_else_may_write_it(tmp_path: Path) -> None:
    laid: list[Path] = []
    read_files(packed("archives/2026/a.age", "checkpoints/0/b"), tmp_path, laid)
    assert laid == [tmp_path / "archives/2026/a.age", tmp_path / "checkpoints/0/b"]
    assert [path.read_text() for path in laid] == ["archives/2026/a.age", "checkpoints/0/b"]
    assert [(path.stat().st_mode & 0o7777, path.stat().st_mtime) for path in laid] == [(0o655, 1_700_000_000)] * 2


@pytest.mark.parametrize("name", ["../outside", "archives/../../outside", "/outside"])
def test_what_would_lie_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    folder, laid = tmp_path / "restored", list[Path]()
    folder.mkdir()
    with pytest.raises(tarfile.TarError, match="outside"):
        read_files(packed("archives/a", name, "archives/b"), folder, laid)
    assert laid == [folder / "archives/a"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "archives", "restored"]


def test_a_link_is_no_way_out(tmp_path: Path) -> None:
    folder = tmp_path / "restored"
    folder.mkdir()
    (folder / "archives").symlink_to(tmp_path)
    with pytest.raises(tarfile.TarError, match="outside"):
        read_files(packed("archives/a"), folder, [])


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_nothing_but_files_is_laid(kind: bytes, tmp_path: Path) -> None:
    laid: list[Path] = []
    read_files(packed("archives", kind=kind), tmp_path, laid)
    assert (laid, list(tmp_path.iterdir())) == ([], [])
