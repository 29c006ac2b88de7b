"""Static files where a proxy finds them: whole, packed beside, and those of former releases for a while."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

from web.static_files import files, static_url
from web.static_publish import KEPT_SECONDS, publish_static


def published(folder: Path) -> dict[str, bytes]:
    return {f"/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_where_its_address_says_and_packed_where_that_saves_something(tmp_path: Path) -> None:
    publish_static(tmp_path)
    there = published(tmp_path)
    addresses = {static_url(name): content for name, (_, content) in files().items()}
    assert {path: content for path, content in there.items() if not path.endswith(".gz")} == addresses
    packed = {path: content for path, content in there.items() if path.endswith(".gz")}
    assert packed
    for path, content in packed.items():
        assert gzip.decompress(content) == addresses[path.removesuffix(".gz")]
        assert len(content) < len(addresses[path.removesuffix(".gz")])


def test_others_may_read_them_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        publish_static(tmp_path)
    finally:
        os.umask(before)
    assert all(path.stat().st_mode & 0o004 for path in (tmp_path / "static").rglob("*"))
    assert all(path.stat().st_mode & 0o001 for path in (tmp_path / "static").rglob("*") if path.is_dir())


def test_files_of_a_former_release_stay_for_a_while(tmp_path: Path) -> None:
    former, ancient = (tmp_path / "static" / name / "css" / "base.css" for name in ("0123456789ab", "ba9876543210"))
    for file, age in ((former, KEPT_SECONDS / 2), (ancient, KEPT_SECONDS + 60)):
        file.parent.mkdir(parents=True)
        file.write_text("body {}")
        os.utime(file.parent.parent, (time.time() - age, time.time() - age))
    publish_static(tmp_path)
    assert former.exists()
    assert not ancient.exists()


def test_a_start_gives_its_own_files_their_time_anew_and_writes_nothing_twice(tmp_path: Path) -> None:
    publish_static(tmp_path)
    (file,) = (tmp_path / static_url("css/base.css").removeprefix("/"),)
    written, folder = file.stat().st_mtime_ns, file.parent.parent
    os.utime(folder, (1, 1))
    publish_static(tmp_path)
    assert file.exists()
    assert file.stat().st_mtime_ns == written
    assert folder.stat().st_mtime > time.time() - 60
