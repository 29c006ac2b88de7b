"""An object of a bucket as a stream, which outlives the connections that it comes over."""

from __future__ import annotations

import time
from typing import Any

from integrations.object_store import ObjectStore, StoreError
from integrations.storage import StorageUnavailable

# Codes and statuses that may be others a moment later; 0: no answer. Not 501, which stays.
PASSING = ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout")
PASSING_STATUSES = (0, 408, 429, 500, 502, 503, 504)


def may_pass(error: StoreError) -> bool:
    """Whether the same may succeed a moment later."""
    return error.code in PASSING or error.status in PASSING_STATUSES


class Reader:
    """An object as a stream that asks for the rest when a connection breaks, as long as it is the same object."""

    def __init__(self, store: ObjectStore, key: str, start: int, pauses: tuple[float, ...]) -> None:
        self._store = store
        self._key = key
        self._at = start
        self._pauses = pauses
        self._failures = 0
        self._etag: str | None = None
        self._body: Any = None

    def read(self, size: int = -1) -> bytes:
        while True:
            try:
                data = self._next(size)
            except StoreError as error:
                self._drop()
                if not may_pass(error) or self._failures >= len(self._pauses):
                    raise StorageUnavailable(str(error)) from error
                time.sleep(self._pauses[self._failures])
                self._failures += 1
                continue
            self._failures = 0 if data else self._failures
            self._at += len(data)
            return data

    def _next(self, size: int) -> bytes:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        if self._body is None:
            try:
                self._body, self._etag = self._store.body(self._key, self._at, self._etag)
            except StoreError as error:
                if error.code == "InvalidRange":  # it ends where we begin
                    return b""
                raise
        try:
            data: bytes = self._body.read(None if size < 0 else size)
        except (BotoCoreError, HTTPError, OSError) as error:
            raise StoreError(type(error).__name__) from error
        return data

    def _drop(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def close(self) -> None:
        self._drop()
