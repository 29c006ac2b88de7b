"""What must survive and lies outside the database: archives of the trail, and checkpoints that a folder keeps.

Nothing else does. Imports hold their files in the database, sessions may be lost, and secrets have a part of their own.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast
from urllib.parse import unquote, urlsplit

from backups.encrypt import Sink
from config import Settings

ARCHIVES, CHECKPOINTS = "archives", "checkpoints"


def outside(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Name in the backup and path, of each file; what is half-written is left out."""
    folders = [(ARCHIVES, settings.archive_folder)]
    for number, url in enumerate(each.get_secret_value() for each in settings.checkpoint_sinks):
        if urlsplit(url).scheme == "file":
            folders.append((f"{CHECKPOINTS}/{number}", Path(unquote(urlsplit(url).path))))
    for prefix, folder in folders:
        for path in folder.rglob("*"):  # in no order: a year of checkpoints is half a million files
            if path.is_file() and not path.is_symlink() and path.suffix != ".partial":
                yield f"{prefix}/{path.relative_to(folder)}", path


def write_files(settings: Settings, target: Sink, progress: Callable[[int, int | None], None]) -> int:
    """A tar of them into ``target``; gives how many. ``progress`` is told how many so far. Raises OSError."""
    count = 0
    with tarfile.open(fileobj=cast(IO[bytes], target), mode="w|") as tar:
        for name, path in outside(settings):
            tar.add(path, name, recursive=False)
            tar.members.clear()  # type: ignore[attr-defined]  # which it keeps for whoever reads it
            count += 1
            progress(count, None)
    return count


def read_files(source: IO[bytes], folder: Path, laid: list[Path]) -> None:
    """Lay them below ``folder``, each path into ``laid`` before it is written. Raises tarfile.TarError and OSError."""
    with tarfile.open(fileobj=source, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            path = _below(folder, member.name)
            laid.append(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with content, path.open("wb") as file:
                shutil.copyfileobj(content, file)
            path.chmod(member.mode & 0o755 | 0o600)
            os.utime(path, (member.mtime, member.mtime))


def _below(folder: Path, name: str) -> Path:
    """Where ``name`` lies. tarfile's own filter, which refuses what leads elsewhere, is not in production's Python, nor
    in any before 3.11.4."""
    path = Path(os.path.realpath(folder / name))
    if not path.is_relative_to(os.path.realpath(folder)):
        raise tarfile.ReadError("a file of the backup would lie outside its folder")
    return path
