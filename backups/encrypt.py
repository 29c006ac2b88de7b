"""Pack (zstd, RFC 8878) and then encrypt (age), and back, as streams of a few megabytes of memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol, cast

from backups.errors import NotRestorable
from integrations.storage import Target
from services.age_stream import decrypted, encrypted

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 3  # zstd's own default
DAMAGED = "The backup is damaged: it can't be unpacked."


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class _Packer:
    """Takes bytes and hands them on packed."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._packer = zstd.ZstdCompressor(
            options={
                zstd.CompressionParameter.compression_level: LEVEL,
                zstd.CompressionParameter.checksum_flag: 1,
            }
        )

    def write(self, data: bytes, /) -> int:
        packed = self._packer.compress(data)
        if packed:
            self._target.write(packed)
        return len(data)

    def finish(self) -> None:
        self._target.write(self._packer.flush())


class _Watched:
    """Passes on what is written and keeps what went wrong, of which the encryption says only that something did."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.failure: Exception | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._target.write(data)
        except Exception as error:
            self.failure = error
            raise

    def flush(self) -> None:
        self._target.flush()


@contextmanager
def sealed(target: Target, recipients: list[str]) -> Iterator[Sink]:
    """What is written within the block arrives in ``target`` packed and encrypted to each of ``recipients``. Raises
    Invalid, and what ``target`` raises."""
    watched = _Watched(target)
    try:
        with encrypted(cast(IO[bytes], watched), *recipients) as cipher:
            packer = _Packer(cipher)
            yield packer
            packer.finish()
    except Exception as error:
        if watched.failure is not None:
            raise watched.failure from error
        raise


@contextmanager
def unsealed(source: IO[bytes], identity: str) -> Iterator[IO[bytes]]:
    """What was sealed. Raises Invalid when ``identity`` does not open it, or it was changed, and BackupFailed when it
    breaks off."""
    with decrypted(source, identity) as plain:
        try:
            with zstd.ZstdFile(plain, "rb") as file:
                yield cast(IO[bytes], file)
        except (zstd.ZstdError, EOFError) as error:
            raise NotRestorable(DAMAGED) from error
