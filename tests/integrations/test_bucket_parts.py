"""Parts of an object: they hold little memory and a large backup."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from typing import Any, cast

import pytest

from integrations import bucket_parts
from integrations.bucket_parts import MOST_PARTS, PART_BYTES, Parts, part_bytes
from integrations.object_store import ObjectStore
from integrations.storage import StorageUnavailable

MIB = 1 << 20


class Store:
    """Takes parts, looks at them and keeps their sizes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.digest = hashlib.sha256()

    def call(self, operation: str, **given: Any) -> dict[str, Any]:
        body = given.get("Body", b"")
        if operation in ("upload_part", "put_object"):
            self.sizes.append(len(body))
            self.digest.update(body)
        return {"UploadId": "u", "ETag": "e"}


def parts_of(store: Store, first: int = PART_BYTES) -> Parts:
    def once(ask: Callable[[], Any]) -> Any:
        return ask()

    return Parts(cast(ObjectStore, store), once, "key", {}, first)


def test_they_hold_144_gibibytes_in_the_memory_of_22_mebibytes() -> None:
    sizes = [part_bytes(number) for number in range(MOST_PARTS)]
    assert sum(sizes) > 144 << 30 and max(sizes) < 22 * MIB and sizes == sorted(sizes)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 250, 1000])
def test_every_byte_arrives_once_however_it_is_written(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    for step in (1, 7, 100, 1000):
        store = Store()
        parts = parts_of(store, first=100)
        for start in range(0, size, step):
            parts.write(data[start : start + step])
        parts.finish()
        assert (parts.size, sum(store.sizes)) == (size, size)
        assert parts.digest == store.digest.digest() == hashlib.sha256(data).digest()
        assert set(store.sizes[:-1]) <= {100}, "all but the last are of one size"


def test_memory_holds_one_part_and_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_parts, "GROWS_EVERY", 1)
    store, chunk = Store(), bytes(MIB)
    tracemalloc.start()
    try:
        parts = parts_of(store)
        for _ in range(60):
            parts.write(chunk)
        parts.finish()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.sizes[:5] == [int(each * MIB) for each in (8, 9.5, 11, 12.5, 14)]
    assert peak < (max(store.sizes) + (4 * MIB))


def test_what_no_bucket_takes_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_parts, "MOST_PARTS", 2)
    parts = parts_of(Store(), first=10)
    parts.write(bytes(20))
    with pytest.raises(StorageUnavailable, match="more than 10000 parts"):
        parts.write(bytes(10))
