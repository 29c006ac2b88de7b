"""Where an export goes: a new or empty folder, files that only their owner reads, and all of them or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from services.errors import Invalid

PART = ".part"


@contextmanager
def export_files(folder: Path, names: tuple[str, ...]) -> Iterator[list[BinaryIO]]:
    """Open files named ``names`` below ``folder`` for writing; they get their names when the block ends well.

    When it does not, nothing of them stays. Raises Invalid unless ``folder`` is new, or empty.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except (FileExistsError, NotADirectoryError):
        raise Invalid(f"{folder} is no folder: name one that is new or empty.") from None
    if not is_empty:
        raise Invalid(f"{folder} is not empty: name a new folder, so that nothing old mixes with the export.")
    parts = [folder / f".{name}{PART}" for name in names]
    opened: list[BinaryIO] = []
    try:
        for part in parts:
            opened.append(os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"))
        yield opened
        for file in opened:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        for part, name in zip(parts, names, strict=True):
            part.rename(folder / name)
    except BaseException:
        for file in opened:
            file.close()
        for part, name in zip(parts, names, strict=True):
            part.unlink(missing_ok=True)
            (folder / name).unlink(missing_ok=True)
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise
