"""Files that are kept for years, in a folder: written whole or not at all, and never over another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 1 << 20


class StorageUnavailable(Exception):
    """It can't be written or read there now. The text is the kind of failure."""


class Writing:
    """What has been written of a file: ``size`` in bytes and ``digest``, SHA-256."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb")
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> bytes:
        return self._hash.digest()

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class FolderStorage:
    """A folder of this machine, such as a mount that another one serves. Files are for this account alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def writing(self, name: str) -> Iterator[Writing]:
        """The file has its ``name`` when the block ended without an error. Raises StorageUnavailable."""
        partial = self._folder / f"{name}.{os.getpid()}.partial"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = Writing(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            try:
                yield target
                target.finish()
                os.link(partial, self._folder / name)  # unlike a rename, never over another
                self._keep_names()
            finally:
                target.close()
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise StorageUnavailable(type(error).__name__) from error

    def _keep_names(self) -> None:
        """A power cut must not take the name of what is on the disk already."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def names(self, prefix: str) -> list[str]:
        """Of everything there that begins with ``prefix``, what a killed run left included."""
        return sorted(path.name for path in self._folder.glob(f"{prefix}*"))

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def measure(self, name: str) -> tuple[int, bytes]:
        """Bytes and SHA-256 of what lies there, read to its end. Raises StorageUnavailable."""
        size, digest = 0, hashlib.sha256()
        try:
            with (self._folder / name).open("rb") as file:
                while data := file.read(CHUNK):
                    size += len(data)
                    digest.update(data)
        except OSError as error:
            raise StorageUnavailable(type(error).__name__) from error
        return size, digest.digest()

    def size(self, name: str) -> int | None:
        """Bytes; None where there is no such file. Raises StorageUnavailable."""
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageUnavailable(type(error).__name__) from error
