"""Finding and opening what an import reads: local paths or uploaded bytes, plain or gzip, always bounded.

Nothing here trusts a name or a stated size: gzip is known by its first bytes, and a stream that expands out
of all proportion is refused while it is read, so that memory and time stay flat under a bomb (SECURITY 24).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from services.errors import ServiceError

LINE_MAX = 32 * 1024 * 1024  # bytes of one NDJSON line or one JSON document, decompressed
FREE_EXPANSION = 64 * 1024 * 1024  # decompressed bytes that no ratio is asked of
EXPANSION_MAX = 100  # decompressed : compressed; real FHIR is about 15
GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1024 * 1024


class SourceMissing(ServiceError):
    """A path that was named does not exist or cannot be read; the text says which and what to do."""


class FileRefused(Exception):
    """A file that cannot be read to its end. The text says why."""


@dataclass(frozen=True)
class SourceFile:
    """One file of an import: the name that people know it by, its size in bytes, and how to open it anew."""

    name: str
    size: int
    opened: Callable[[], BinaryIO]

    @contextmanager
    def stream(self) -> Iterator[IO[bytes]]:
        """The file's bytes, decompressed.

        Raises FileRefused, here or on a later read, for a file that cannot be opened or expands too far.
        """
        try:
            raw = self.opened()
        except OSError as error:
            raise FileRefused(f"cannot be opened: {error.strerror}") from None
        with raw:
            is_gzip = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            if not is_gzip:
                yield raw
                return
            with io.BufferedReader(_Expanding(raw, self.size), CHUNK) as expanded:
                yield expanded

    def digest(self) -> bytes:
        """SHA-256 of the file's bytes as they are stored."""
        result = hashlib.sha256()
        with self.opened() as raw:
            while chunk := raw.read(CHUNK):
                result.update(chunk)
        return result.digest()


class _Expanding(io.RawIOBase):
    """A gzip stream that stops when it has grown out of proportion."""

    def __init__(self, raw: BinaryIO, size: int) -> None:
        self._gzip = gzip.GzipFile(fileobj=raw)
        self._allowed = max(FREE_EXPANSION, size * EXPANSION_MAX)
        self._grown = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._gzip.read1(len(buffer))
        except (OSError, EOFError, zlib.error):
            raise FileRefused("the gzip stream is damaged or ends too early") from None
        self._grown += len(data)
        if self._grown > self._allowed:
            raise FileRefused(f"expands to more than {EXPANSION_MAX} times its size; not read further")
        buffer[: len(data)] = data
        return len(data)


def lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Line numbers from 1 with their bytes; None for one longer than ``LINE_MAX``, which is skipped, unread."""
    number = 0
    while data := stream.readline(LINE_MAX + 1):
        number += 1
        if len(data) <= LINE_MAX:
            yield number, data
            continue
        while not data.endswith(b"\n"):
            data = stream.readline(CHUNK)
            if not data:
                break
        yield number, None


def from_paths(paths: list[Path]) -> list[SourceFile]:
    """Every file below ``paths``, in a fixed order. Directories are walked; hidden entries are passed over.

    Names are relative to the path that was given, so that the same folder gives the same names anywhere.
    Raises SourceMissing.
    """
    found: list[SourceFile] = []
    seen: set[str] = set()
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except OSError as error:
            raise SourceMissing(f"{path} cannot be read: {error.strerror}. Check the path.") from None
        for file in _walk(path) if is_folder else [path]:
            identity = os.path.realpath(file)
            if identity not in seen:
                seen.add(identity)
                found.append(_from_path(file, str(file.relative_to(path)) if is_folder else file.name))
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(directory, name)


def _from_path(path: Path, name: str) -> SourceFile:
    def opened() -> BinaryIO:
        # Not blocking: a pipe or a device in the folder must not hang the import.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "not a regular file")
        return open(descriptor, "rb")

    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return SourceFile(printable(name), size, opened)


def printable(name: str) -> str:
    """A file name that PostgreSQL and a terminal take: undecodable bytes and control characters replaced."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)[:500]
