"""Files that are kept for years, in a bucket: sent in parts as they are made, read on from where a cut left off.

A part that fails is sent again, and the rest goes on: what is already there stays. The object is there only when all
its parts are; what a killed run left of one is aborted by name.

An upload is not taken up by another process, and can't be: what is sent is encrypted as it is made, with a key of its
own each time (age), so that no second run makes the bytes of which the first had sent a half. It is made anew instead.
Only a copy on a disk could be sent on from where it was, and there is none (docs/adr/0023).
"""

from __future__ import annotations

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
from integrations.bucket_parts import PART_BYTES, Parts
from integrations.bucket_reader import Reader, may_pass
from integrations.object_store import ObjectStore, StoreError
from integrations.storage import FolderStorage, StorageHeld, StorageUnavailable

TIMEOUT_SECONDS = 60.0
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds between attempts, a minute in all
# What a bucket answers that keeps what is deleted for a time of its own, as Google's retention policies do.
HELD = ("RetentionPolicyNotMet", "ObjectUnderActiveHold")
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
                if error.code in HELD:
                    raise StorageHeld(str(error)) from error
                if pause is None or not may_pass(error):
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
    def writing(self, name: str) -> Iterator[Parts]:
        """The object is there when the block ended without an error. Raises StorageUnavailable."""
        if self.size(name) is not None:
            raise StorageUnavailable("there is such an object already")
        until = self.locked_until()
        lock = {} if until is None else {"ObjectLockMode": LOCK_MODE, "ObjectLockRetainUntilDate": until}
        parts = Parts(self._store, self._patiently, self._prefix + name, lock, self._part_bytes)
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
        reader = Reader(self._store, self._prefix + name, start, self._pauses)
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
        pages = self._patiently(lambda: list(self._store.upload_pages(self._prefix + prefix)))
        for upload in (each for page in pages for each in page.get("Uploads", ())):
            self._call("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])


def open_storage(url: str, settings: Settings) -> FolderStorage | BucketStorage:
    """The folder or bucket that ``url`` (``file:///…`` or ``s3://…``) names."""
    if is_folder_url(url):
        return FolderStorage(Path(unquote(urlsplit(url).path)))
    return BucketStorage(url, settings)
