"""An object on its way into a bucket: sent in parts as it is made, whatever its size will be.

Memory holds one part. The smallest that a bucket takes is 5 MiB, and at most 10,000 make an object, so they grow: 8 MiB
for the first thousand, 1.5 MiB more for each thousand after it, 21.5 MiB in the end and 144 GiB in all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from integrations.object_store import ObjectStore, StoreError, content_md5
from integrations.storage import StorageUnavailable

PART_BYTES, GROWTH_BYTES, GROWS_EVERY = 8 << 20, 3 << 19, 1_000
MOST_PARTS = 10_000
TOO_LARGE = f"an object has more than {MOST_PARTS} parts, which no bucket takes"


def part_bytes(number: int, first: int = PART_BYTES) -> int:
    """Of the part with this number, from 0 on."""
    return first + number // GROWS_EVERY * GROWTH_BYTES


class Parts:
    """What is less than a part waits in memory, in one buffer that is filled again and again: what is sent is never
    copied. boto takes a bytearray as it is, and of bytes makes one piece with the head of its request."""

    def __init__(
        self, store: ObjectStore, patiently: Callable[[Callable[[], Any]], Any], key: str, lock: dict[str, Any],
        first: int,
    ) -> None:  # fmt: skip
        self._store = store
        self._patiently = patiently
        self._key = key
        self._lock = lock
        self._first = first
        self._waiting = bytearray(first)
        self._filled = 0
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
        """Raises StorageUnavailable."""
        self._hash.update(data)
        self.size += len(data)
        with memoryview(data) as rest:
            at = 0
            while at < len(rest):
                taken = min(len(self._waiting) - self._filled, len(rest) - at)
                self._waiting[self._filled : self._filled + taken] = rest[at : at + taken]
                self._filled += taken
                at += taken
                if self._filled == len(self._waiting):
                    self._send()
        return len(data)

    def flush(self) -> None:
        """Parts go when they are full."""

    def _send(self) -> None:
        number = len(self._sent)
        if number == MOST_PARTS:
            raise StorageUnavailable(TOO_LARGE)
        if not self._upload:
            self._upload = self._call("create_multipart_upload", **self._lock)["UploadId"]
        body = self._full()
        answer = self._call(
            "upload_part", UploadId=self._upload, PartNumber=number + 1, Body=body, ContentMD5=content_md5(body)
        )
        self._sent.append({"PartNumber": number + 1, "ETag": answer["ETag"]})
        self._filled = 0
        following = part_bytes(number + 1, self._first)
        if len(self._waiting) != following:
            del body
            self._waiting = bytearray()  # before the next is made, so that there are never two
            self._waiting = bytearray(following)

    def _full(self) -> bytearray:
        """What waits, without the room that is left behind it: the last part's."""
        del self._waiting[self._filled :]
        return self._waiting

    def finish(self) -> None:
        """Raises StorageUnavailable."""
        if not self._upload:
            body = self._full()
            self._call("put_object", Body=body, ContentMD5=content_md5(body), **self._lock)
            return
        if self._filled:
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
        """Raises StoreError."""
        if self._upload:
            self._store.call("abort_multipart_upload", Key=self._key, UploadId=self._upload)
