"""Files that are kept for years, in a bucket: sent in parts as they are made, read on from where a cut left off.

A part that fails is sent again, and the rest goes on: what is already there stays. Memory holds one part. The object is
there only when all its parts are; what a killed run left of one is aborted by name.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from config import Settings
from config_urls import is_folder_url, parse_bucket_url
from integrations.object_store import ObjectStore, StoreError, content_md5
from integrations.storage import FolderStorage, StorageUnavailable

# The smallest part a bucket takes is 5 MiB, and at most 10,000 make an object: these are 10 GiB in small parts and then
# up to 330 GiB, which costs the memory of one part.
PART_BYTES, LARGE_PART_BYTES = 8 << 20, 48 << 20
SMALL_PARTS = 3_000
TIMEOUT_SECONDS = 60.0
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds between attempts, a minute in all
# Codes and statuses that may be others a moment later; 0: no answer. Not 501, which stays.
PASSING = ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout")
PASSING_STATUSES = (0, 408, 429, 500, 502, 503, 504)
FOREVER = float("inf")
LOCK_MODE = "COMPLIANCE"  # in which not even the bucket's owner takes it back

T = TypeVar("T")


class BucketStorage:
    """What lies below one prefix of a bucket."""

    def __init__(self, url: str, settings: Settings) -> None:
        bucket, self._prefix = parse_bucket_url(url)
        self._store = ObjectStore(bucket, settings, timeout=TIMEOUT_SECONDS, seconds=FOREVER)
        self._lock_days = settings.backup_lock_days
        self._part_bytes = PART_BYTES
        self._pauses = PAUSES

    def _patiently(self, ask: Callable[[], T]) -> T:
        """What ``ask`` gives, asked once more after each pause while its failure may pass. Raises
        StorageUnavailable."""
        for pause in (*self._pauses, None):
            try:
                return ask()
            except StoreError as error:
                if pause is None or not _may_pass(error):
                    raise StorageUnavailable(str(error)) from error
                time.sleep(pause)
        raise AssertionError

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return self._patiently(lambda: self._store.call(operation, **parameters))

    def locked_until(self) -> datetime | None:
        """Until when nobody deletes what is written now; None where the bucket has no lock. Raises StorageUnavailable,
        also where the keys may not ask: a lock that is wanted is not left out for that."""
        if not self._lock_days or not self._patiently(self._store.has_lock):
            return None
        return datetime.now(UTC) + timedelta(days=self._lock_days)

    @contextmanager
    def writing(self, name: str) -> Iterator[_Parts]:
        """The object is there when the block ended without an error. Raises StorageUnavailable."""
        if self.size(name) is not None:
            raise StorageUnavailable("there is such an object already")
        until = self.locked_until()
        lock = {} if until is None else {"ObjectLockMode": LOCK_MODE, "ObjectLockRetainUntilDate": until}
        parts = _Parts(self._store, self._patiently, self._prefix + name, lock, self._part_bytes)
        try:
            yield parts
            parts.finish()
        except BaseException:
            with suppress(StoreError):
                parts.abort()
            raise
        if self.size(name) != parts.size:
            raise StorageUnavailable("took it and does not have all of it")

    @contextmanager
    def reading(self, name: str, start: int = 0) -> Iterator[IO[bytes]]:
        reader = _Reader(self._store, self._prefix + name, start, self._pauses)
        with closing(reader):
            yield cast(IO[bytes], reader)

    def names(self, prefix: str) -> list[str]:
        pages = self._patiently(lambda: list(self._store.key_pages(self._prefix + prefix)))
        return [item["Key"].removeprefix(self._prefix) for page in pages for item in page.get("Contents", ())]

    def size(self, name: str) -> int | None:
        return self._patiently(lambda: self._store.size(self._prefix + name))

    def remove(self, name: str) -> None:
        """Under a lock its version stays until then, below a mark of deletion."""
        self._call("delete_object", Key=self._prefix + name)

    def lock(self, prefix: str, until: datetime) -> bool:
        """A lock that lasts longer already stays: in compliance mode it can't be shortened."""
        if self.locked_until() is None:
            return False
        for name in self.names(prefix):
            key = self._prefix + name
            held = self._patiently(partial(self._store.locked_until, key))
            if held is None or held < until:
                lock = {"Mode": LOCK_MODE, "RetainUntilDate": until.astimezone(UTC)}
                self._call("put_object_retention", Key=key, Retention=lock)
        return True

    def remove_unfinished(self, prefix: str) -> None:
        answer = self._call("list_multipart_uploads", Prefix=self._prefix + prefix)
        for upload in answer.get("Uploads", ()):
            self._call("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])


class _Parts:
    """An object on its way: what is less than a part waits in memory."""

    def __init__(
        self, store: ObjectStore, patiently: Callable[[Callable[[], Any]], Any], key: str, lock: dict[str, Any],
        part_bytes: int,
    ) -> None:  # fmt: skip
        self._store = store
        self._patiently = patiently
        self._key = key
        self._lock = lock
        self._part_bytes = part_bytes
        self._waiting = bytearray()
        self._hash = hashlib.sha256()
        self._upload = ""
        self._sent: list[dict[str, Any]] = []
        self.size = 0

    @property
    def digest(self) -> bytes:
        return self._hash.digest()

    def _call(self, operation: str, **parameters: Any) -> Any:
        return self._patiently(lambda: self._store.call(operation, Key=self._key, **parameters))

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._waiting += data
        limit = self._part_bytes if len(self._sent) < SMALL_PARTS else max(self._part_bytes, LARGE_PART_BYTES)
        if len(self._waiting) >= limit:
            self._send()
        return len(data)

    def flush(self) -> None:
        """Parts go when they are full."""

    def _send(self) -> None:
        if not self._upload:
            self._upload = self._call("create_multipart_upload", **self._lock)["UploadId"]
        number, body = len(self._sent) + 1, bytes(self._waiting)
        self._waiting.clear()
        answer = self._call(
            "upload_part", UploadId=self._upload, PartNumber=number, Body=body, ContentMD5=content_md5(body)
        )
        self._sent.append({"PartNumber": number, "ETag": answer["ETag"]})

    def finish(self) -> None:
        if not self._upload:
            body = bytes(self._waiting)
            self._call("put_object", Body=body, ContentMD5=content_md5(body), **self._lock)
            return
        if self._waiting:
            self._send()
        self._complete()

    def _complete(self) -> None:
        """An upload that is gone at a second attempt was completed by the first, whose answer was lost. Whoever writes
        looks at the object's size afterwards."""
        is_again = False

        def ask() -> None:
            nonlocal is_again
            try:
                self._store.call(
                    "complete_multipart_upload", Key=self._key, UploadId=self._upload,
                    MultipartUpload={"Parts": self._sent},
                )  # fmt: skip
            except StoreError as error:
                if is_again and error.code == "NoSuchUpload":
                    return
                is_again = True
                raise

        self._patiently(ask)

    def abort(self) -> None:
        if self._upload:
            self._store.call("abort_multipart_upload", Key=self._key, UploadId=self._upload)


class _Reader:
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
                if not _may_pass(error) or self._failures >= len(self._pauses):
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


def _may_pass(error: StoreError) -> bool:
    return error.code in PASSING or error.status in PASSING_STATUSES


def open_storage(url: str, settings: Settings) -> FolderStorage | BucketStorage:
    """The folder or bucket that ``url`` (``file:///…`` or ``s3://…``) names."""
    if is_folder_url(url):
        return FolderStorage(Path(unquote(urlsplit(url).path)))
    return BucketStorage(url, settings)
