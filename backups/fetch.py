"""Bring the parts of a backup from a bucket onto this machine, still encrypted, going on where a cut left off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backups.errors import BackupFailed
from backups.manifest import Manifest
from backups.room import free_bytes, mib
from backups.store import CHUNK
from backups.verify import Progress, verify_parts
from integrations.storage import FolderStorage, Storage, StorageUnavailable, kind_of


@contextmanager
def fetched(storage: Storage, manifest: Manifest, folder: Path, progress: Progress) -> Iterator[Storage]:
    """The parts within the block, whole and unchanged; gone after it when it ends well, and kept for another try when
    it does not. A folder's own parts are read where they lie. Raises BackupFailed."""
    if isinstance(storage, FolderStorage):
        verify_parts(storage, manifest, progress)
        yield storage
        return
    _refuse_full_disk(folder, manifest.size - _fetched(folder, manifest))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part in manifest.parts:
        _fetch(storage, part.name, part.size, folder / part.name, progress)
    local = FolderStorage(folder)
    try:
        verify_parts(local, manifest, progress)
    except BackupFailed:
        _remove(folder)
        raise
    yield local
    _remove(folder)


def _refuse_full_disk(folder: Path, size: int) -> None:
    free = free_bytes(folder)
    if free is not None and size > free:
        needed, there = mib(size), mib(free)
        raise BackupFailed(
            f"The download needs {needed} MiB, and the disk of {folder} has {there} MiB free: free some, or set"
            " SIGILO_HOME to a larger disk. Nothing was changed."
        )


def _fetched(folder: Path, manifest: Manifest) -> int:
    """Bytes that are here of it already."""
    paths = [(folder / part.name, part.size) for part in manifest.parts]
    return sum(min(path.stat().st_size, size) for path, size in paths if path.exists())


def _fetch(storage: Storage, name: str, size: int, path: Path, progress: Progress) -> None:
    done = path.stat().st_size if path.exists() else 0
    if done > size:
        path.unlink()
        done = 0
    if done == size and path.exists():
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "ab") as file, storage.reading(name, done) as source:
            while data := source.read(CHUNK):
                file.write(data)
                done += len(data)
                progress(done, size)
    except StorageUnavailable as error:
        raise BackupFailed(
            f"The download of {name} was cut at {done} of {size} bytes ({error}): run the same command again, it goes"
            " on from there."
        ) from error
    except OSError as error:
        raise BackupFailed(f"{path} can't be written: {kind_of(error)}.") from error


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
