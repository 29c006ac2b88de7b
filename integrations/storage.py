"""Files that are kept for years, in a folder: written whole or not at all, and never over another.

A bucket does the same (``integrations/bucket_storage.py``); ``open_storage`` gives whichever a URL names.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol

CHUNK = 1 << 20
PARTIAL = ".partial"


# The system's own words for what file systems and disks refuse; pages translate them.
KINDS = {
    errno.EACCES: "EACCES, Permission denied",
    errno.EBUSY: "EBUSY, Device or resource busy",
    errno.EDQUOT: "EDQUOT, Disk quota exceeded",
    errno.EEXIST: "EEXIST, File exists",
    errno.EFBIG: "EFBIG, File too large",
    errno.EIO: "EIO, Input/output error",
    errno.EISDIR: "EISDIR, Is a directory",
    errno.EMFILE: "EMFILE, Too many open files",
    errno.ENAMETOOLONG: "ENAMETOOLONG, File name too long",
    errno.ENODEV: "ENODEV, No such device",
    errno.ENOENT: "ENOENT, No such file or directory",
    errno.ENOMEM: "ENOMEM, Cannot allocate memory",
    errno.ENOSPC: "ENOSPC, No space left on device",
    errno.ENOTCONN: "ENOTCONN, Transport endpoint is not connected",
    errno.ENOTDIR: "ENOTDIR, Not a directory",
    errno.EPERM: "EPERM, Operation not permitted",
    errno.EROFS: "EROFS, Read-only file system",
    errno.ESTALE: "ESTALE, Stale file handle",
    errno.ETIMEDOUT: "ETIMEDOUT, Connection timed out",
}


# What file systems without hard links answer: exFAT and FAT EPERM, CIFS and some of FUSE the others.
AT_FDCWD, RENAME_NOREPLACE = -100, 1  # of fcntl.h and linux/fs.h
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class StorageUnavailable(OSError):
    """It can't be written or read there now. The text is the kind of failure."""


class StorageHeld(StorageUnavailable):
    """It is kept there for a time of the store's own, and can't be deleted before."""


def kind_of(error: OSError) -> str:
    """What failed, without a path: such as "ENOSPC, No space left on device", or a name where it has no words here."""
    if isinstance(error, StorageUnavailable):
        return str(error)
    number = error.errno or 0
    return KINDS.get(number, errno.errorcode.get(number, type(error).__name__))


class Target(Protocol):
    """A file being written: ``size`` in bytes so far and ``digest``, SHA-256."""

    size: int

    @property
    def digest(self) -> bytes: ...

    def write(self, data: bytes) -> int: ...

    def flush(self) -> None: ...


class Storage(Protocol):
    """Where files lie. All raise StorageUnavailable."""

    def writing(self, name: str) -> AbstractContextManager[Target]:
        """The file has its ``name`` when the block ended without an error."""

    def reading(self, name: str, start: int = 0) -> AbstractContextManager[IO[bytes]]:
        """The file from byte ``start`` on."""

    def names(self, prefix: str) -> list[str]:
        """Of everything there that begins with ``prefix``, in order."""

    def size(self, name: str) -> int | None:
        """Bytes; None where there is no such file."""

    def remove(self, name: str) -> None: ...

    def locked_until(self) -> datetime | None:
        """Until when nobody deletes what is written now; None where there are no locks."""

    def lock(self, prefix: str, until: datetime) -> bool:
        """See to it that nobody deletes before ``until`` what begins with ``prefix``; False where there are no
        locks."""

    def remove_unfinished(self, prefix: str) -> None:
        """What runs that died left half-written of names that begin with ``prefix``."""


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


def _name_new(partial: Path, path: Path) -> None:
    """Give ``partial`` the name ``path``, and never over another. Raises FileExistsError."""
    try:
        os.link(partial, path)  # which every file system of Linux's own and NFS have; a rename takes another's place
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _rename_new(partial, path)


def _rename_new(partial: Path, path: Path) -> None:
    """renameat2(2), which Python does not have: what sticks (FAT, exFAT) and Windows shares know in place of links."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(partial), AT_FDCWD, os.fsencode(path), RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class FolderStorage:
    """A folder of this machine, such as a mount that another one serves. Files are for this account alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def writing(self, name: str) -> Iterator[Writing]:
        """The file has its ``name`` when the block ended without an error. Raises StorageUnavailable."""
        partial = self._folder / f"{name}.{os.getpid()}{PARTIAL}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = Writing(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            try:
                yield target
                target.finish()
                _name_new(partial, self._folder / name)
                self._keep_names()
            finally:
                target.close()
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise StorageUnavailable(kind_of(error)) from error

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

    @contextmanager
    def reading(self, name: str, start: int = 0) -> Iterator[IO[bytes]]:
        """The file from byte ``start`` on. Raises StorageUnavailable, also for what goes wrong while it is read."""
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(start)
                yield file
        except OSError as error:
            raise StorageUnavailable(kind_of(error)) from error

    def remove(self, name: str) -> None:
        """Also where there is none. Raises StorageUnavailable."""
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageUnavailable(kind_of(error)) from error

    def locked_until(self) -> datetime | None:
        """A folder has no locks."""
        return None

    def lock(self, prefix: str, until: datetime) -> bool:
        """A folder has no locks."""
        return False

    def remove_unfinished(self, prefix: str) -> None:
        for name in self.names(prefix):
            if name.endswith(PARTIAL):
                self.remove(name)

    def measure(self, name: str) -> tuple[int, bytes]:
        """Bytes and SHA-256 of what lies there, read to its end. Raises StorageUnavailable."""
        size, digest = 0, hashlib.sha256()
        try:
            with (self._folder / name).open("rb") as file:
                while data := file.read(CHUNK):
                    size += len(data)
                    digest.update(data)
        except OSError as error:
            raise StorageUnavailable(kind_of(error)) from error
        return size, digest.digest()

    def size(self, name: str) -> int | None:
        """Bytes; None where there is no such file. Raises StorageUnavailable."""
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageUnavailable(kind_of(error)) from error
