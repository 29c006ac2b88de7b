"""A folder keeps whole files, and never one in the place of another, on whatever file system it lies."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from integrations.storage import NO_LINKS, FolderStorage, StorageUnavailable


@pytest.mark.parametrize("refusal", [None, *NO_LINKS], ids=lambda number: errno.errorcode.get(number, "links"))
def test_a_file_takes_no_others_place_with_links_or_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int | None
) -> None:
    """Sticks (exFAT) and Windows shares refuse links, each in its way."""
    if refusal is not None:

        def refuse(*_: object) -> None:
            raise OSError(refusal, os.strerror(refusal))

        monkeypatch.setattr(os, "link", refuse)
    storage = FolderStorage(tmp_path)
    with storage.writing("one") as target:
        target.write(b"first")
    with pytest.raises(StorageUnavailable, match="EEXIST"), storage.writing("one") as target:
        target.write(b"second")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"one": b"first"}


def test_what_else_a_link_fails_of_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(StorageUnavailable, match="ENOSPC"), FolderStorage(tmp_path).writing("one") as target:
        target.write(b"x")
    assert list(tmp_path.iterdir()) == []
