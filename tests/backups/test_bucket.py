"""Backups in a bucket: in parts, over cut connections, locked, read back from where it was cut, and cleaned up."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backups.drill import run_drill
from backups.errors import BackupFailed
from backups.fetch import fetched
from backups.find import find_backup, trusted
from backups.job import Connection
from backups.lock import lock_kept
from backups.manifest import Manifest
from backups.run import work_off
from config import Settings
from integrations import bucket_storage
from integrations.bucket_reader import Reader
from integrations.bucket_storage import BucketStorage
from integrations.storage import StorageUnavailable
from tests.backups.conftest import PART, URL, back_up, silent
from tests.integrations.fake_s3 import ACCESS_KEY, SECRET_KEY, FakeS3, Upload


class Cut(Reader):
    """The network goes for good after 10 KiB."""

    def read(self, size: int = -1) -> bytes:
        if self._at:
            raise StorageUnavailable("ConnectionClosedError")
        return super().read(10 << 10)


def stored(bucket: FakeS3) -> set[str]:
    return {key for key, versions in bucket.versions.items() if versions[-1].body is not None}


def test_what_is_written_in_parts_is_read_back_over_a_cut_connection(far: Settings, bucket: FakeS3) -> None:
    storage, data = BucketStorage(URL, far), os.urandom(5 * PART + 17)
    bucket.cuts["part"] = 2  # two of the parts have to be sent again
    with storage.writing("one") as target:
        for start in range(0, len(data), 1000):
            target.write(data[start : start + 1000])
    assert (target.size, target.digest) == (len(data), hashlib.sha256(data).digest())
    [version] = bucket.versions["night/one"]
    assert version.body == data
    assert abs(version.locked_until - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=5)
    bucket.cuts["object"] = 2
    with storage.reading("one", 5) as file:
        read = b"".join(iter(lambda: file.read(4096), b""))
    assert read == data[5:]
    assert storage.size("one") == len(data) and storage.size("two") is None and storage.names("o") == ["one"]


def test_a_lock_is_lengthened_and_never_shortened(far: Settings, bucket: FakeS3) -> None:
    storage = BucketStorage(URL, far)
    for name in ("one.a", "one.b", "other"):
        with storage.writing(name) as target:
            target.write(b"x")
    year = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
    assert storage.lock("one.", year)
    assert [bucket.versions[f"night/{name}"][-1].locked_until == year for name in ("one.a", "one.b", "other")] == [
        True, True, False,
    ]  # fmt: skip
    assert storage.lock("one.", year - timedelta(days=1)), "what is locked for longer is left alone"
    assert bucket.versions["night/one.a"][-1].locked_until == year
    unlocked = BucketStorage(URL, far.model_copy(update={"backup_lock_days": 0}))
    assert not unlocked.lock("one.", year + timedelta(days=1))
    bucket.versions["night/one.a"][-1].headers.clear()  # laid there while the bucket had no lock
    bucket.busy["PUT retention"] = 2
    assert storage.lock("one.", year) and bucket.versions["night/one.a"][-1].locked_until == year
    bucket.has_lock = False
    assert not storage.lock("one.", year + timedelta(days=1))


def test_what_stays_for_a_month_is_locked_for_as_long_and_once(
    far: Settings, bucket: FakeS3, connection: Connection
) -> None:
    old = back_up(far, connection)
    connection.execute("UPDATE backups SET finished_at = finished_at - interval '40 days'")
    new = back_up(far, connection)
    connection.execute("UPDATE backups SET state = 'VERIFIED', verified_at = now()")  # as drills do
    work_off(far, connection)
    [(noted,)] = connection.execute("SELECT locked_until FROM backups WHERE id = %s", [old.id]).fetchall()
    assert noted > datetime.now(UTC) + timedelta(days=250)

    def locks(manifest: Manifest) -> set[datetime]:
        prefix = f"night/{manifest.database.name.partition('.')[0]}."
        found = {key: versions[-1].locked_until for key, versions in bucket.versions.items() if key.startswith(prefix)}
        assert len(found) == len(manifest.parts) + 1
        return set(found.values())

    assert locks(old) == {noted}
    assert max(locks(new)) < datetime.now(UTC) + timedelta(days=8), "another of this month may stay in its place"
    before = len(bucket.asked)
    assert lock_kept(far, connection) == [] and len(bucket.asked) == before, "it is asked for once"
    connection.execute("UPDATE backups SET locked_until = NULL")
    bucket.answers = (403, {}, "<Error><Code>AccessDenied</Code></Error>")
    with pytest.raises(BackupFailed, match="locked for as long"):
        work_off(far, connection)


def test_nothing_is_left_of_what_was_not_finished(far: Settings, bucket: FakeS3) -> None:
    storage = BucketStorage(URL, far)
    with suppress(RuntimeError), storage.writing("one") as target:
        target.write(bytes(3 * PART))
        raise RuntimeError
    assert bucket.uploads == {} and bucket.versions == {}
    bucket.cuts["part"] = 1000
    with pytest.raises(StorageUnavailable), storage.writing("one") as target:
        target.write(bytes(3 * PART))
    assert bucket.versions == {}
    bucket.cuts.clear()
    bucket.page_size = 2
    bucket.uploads |= {f"of the dead {number}": Upload("night/one", {}) for number in range(5)}
    bucket.uploads["of another"] = Upload("night/two", {})
    storage.remove_unfinished("one")
    assert list(bucket.uploads) == ["of another"]


@pytest.mark.parametrize("asked", ["HEAD object", "GET object-lock", "POST uploads", "PUT part", "POST upload"])
def test_a_store_that_is_busy_is_asked_again_whatever_it_is_asked(far: Settings, bucket: FakeS3, asked: str) -> None:
    storage = BucketStorage(URL, far)
    bucket.busy[asked] = 2
    with storage.writing("one") as target:
        target.write(bytes(3 * PART))
        bucket.busy["HEAD object"] = 2  # which it is asked at the end
    bucket.busy["GET list"] = 2
    assert storage.names("") == ["one"]
    assert not +bucket.busy


def write(far: Settings, name: str, at_the_end: Callable[[], None] = lambda: None) -> None:
    with BucketStorage(URL, far).writing(name) as target:
        target.write(bytes(3 * PART))
        at_the_end()


def test_an_upload_whose_completion_was_not_answered_is_done(far: Settings, bucket: FakeS3) -> None:
    bucket.lost["POST upload"] = 1
    write(far, "one")
    assert len(bucket.versions["night/one"]) == 1 and BucketStorage(URL, far).size("one") == 3 * PART


def test_an_upload_that_somebody_aborted_is_not_done(far: Settings, bucket: FakeS3) -> None:
    with pytest.raises(StorageUnavailable, match="NoSuchUpload"):
        write(far, "one", bucket.uploads.clear)

    def between_two_attempts() -> None:
        bucket.busy["POST upload"] = 1
        bucket.uploads.clear()

    with pytest.raises(StorageUnavailable, match="does not have all of it"):
        write(far, "one", between_two_attempts)
    assert stored(bucket) == set()


def test_what_will_not_pass_is_asked_once(far: Settings, bucket: FakeS3) -> None:
    bucket.answers = (403, {}, "")
    with pytest.raises(StorageUnavailable, match="answered 403"):
        BucketStorage(URL, far).size("one")
    assert bucket.asked == [("HEAD", "object")]


def test_a_backup_lies_in_the_bucket_and_is_drilled_from_there(
    far: Settings, bucket: FakeS3, connection: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket.page_size = 2
    manifest = back_up(far, connection)
    assert len(bucket.versions[f"night/{manifest.database.name}"][-1].body or b"") == manifest.database.size > PART
    bucket.cuts["object"] = 3
    done = work_off(far, connection)
    assert done.drilled == [manifest.id]
    found = find_backup(far, str(manifest.id), trusted(far, ()))
    # A download that is cut for good goes on from there.
    folder = tmp_path / "download"
    with monkeypatch.context() as patch:
        patch.setattr(bucket_storage, "Reader", Cut)
        cut = fetched(found.storage, manifest, folder, silent)
        with pytest.raises(BackupFailed, match="run the same command again"):
            cut.__enter__()
    begun = (folder / manifest.database.name).stat().st_size
    assert 0 < begun < manifest.database.size
    bucket.cuts.clear()
    with fetched(found.storage, manifest, folder, silent) as local:
        assert local.size(manifest.database.name) == manifest.database.size
    assert not folder.exists()


def test_a_network_that_is_cut_in_mid_upload_leaves_a_failed_row_and_the_next_run_is_fine(
    far: Settings, bucket: FakeS3, connection: Connection
) -> None:
    bucket.cuts["part"] = 1000
    with pytest.raises(BackupFailed, match="The store failed"):
        back_up(far, connection)
    row = connection.execute("SELECT state, failure, manifest FROM backups").fetchone()
    assert row is not None and row[0] == "FAILED" and "The store failed" in row[1] and row[2] is None
    assert not any(secret in row[1] for secret in (ACCESS_KEY, SECRET_KEY, "127.0.0.1"))
    assert stored(bucket) == set()
    bucket.cuts.clear()
    manifest = back_up(far, connection)
    assert work_off(far, connection).drilled == [manifest.id]
    assert bucket.uploads == {}


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId", "RequestTimeTooSkewed"])
def test_keys_that_expired_and_a_clock_that_the_store_refuses_say_so(
    far: Settings, bucket: FakeS3, connection: Connection, code: str
) -> None:
    bucket.answers = (403, {}, f"<Error><Code>{code}</Code></Error>")
    with pytest.raises(BackupFailed, match=r"answered 403"):
        back_up(far, connection)
    row = connection.execute("SELECT state, failure FROM backups").fetchone()
    assert row is not None and row[0] == "FAILED"
    bucket.answers = None
    back_up(far, connection)


def test_a_corrupted_object_fails_its_drill_and_counts_no_longer(
    far: Settings, bucket: FakeS3, connection: Connection
) -> None:
    manifest = back_up(far, connection)
    work_off(far, connection)
    version = bucket.versions[f"night/{manifest.database.name}"][-1]
    assert version.body is not None
    body = bytearray(version.body)
    body[-20] ^= 1
    version.body = bytes(body)
    with pytest.raises(BackupFailed, match="is damaged"):
        run_drill(far, connection, manifest.id, silent)
    assert connection.execute("SELECT state, verified_at FROM backups").fetchone() == ("DONE", None)
