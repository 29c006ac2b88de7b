"""What a bucket refuses, keeps or no longer takes, and what is known before it is asked for anything."""

from __future__ import annotations

import pyrage
import pytest

from backups import prune as prune_module
from backups.errors import BackupFailed
from backups.find import find_backup, trusted
from backups.job import Connection
from backups.prune import prune
from backups.restore import restore_backup
from backups.run import work_off
from backups.store import remove_backup
from config import Settings
from integrations import object_store
from integrations.storage import Storage, StorageUnavailable
from services.backup_standing import STANDING, read_standing
from tests.backups.conftest import back_up, silent
from tests.integrations.fake_s3 import FakeS3
from tests.servers import DatabaseServer


def test_a_wrong_key_and_a_full_disk_are_known_before_anything_is_fetched(
    far: Settings, bucket: FakeS3, connection: Connection, server: DatabaseServer, gone: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    back_up(far, connection)
    found = find_backup(far, "latest", trusted(far, ()))
    [path] = far.drill_key_folder.iterdir()

    def restore(identity: str) -> None:
        restore_backup(
            far, found, server.superuser_url(gone), identity=identity, replace=False, progress=silent,
            say=lambda _text: None,
        )  # fmt: skip

    before = len(bucket.asked)
    with pytest.raises(BackupFailed, match="does not open this backup"):
        restore(str(pyrage.x25519.Identity.generate()))
    monkeypatch.setattr("backups.fetch.free_bytes", lambda _: found.manifest.size - 1)
    with pytest.raises(BackupFailed, match="download needs 1 MiB, and the disk of"):
        restore(path.read_text())
    assert len(bucket.asked) == before
    assert not (far.sigilo_home / "restore").exists()


def test_what_is_locked_is_not_deleted_and_one_that_can_not_be_keeps_no_other(
    far: Settings, bucket: FakeS3, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = far.model_copy(update={"backup_keep_daily": 1, "backup_keep_weekly": 0, "backup_keep_monthly": 0})
    made = [back_up(few, connection) for _ in range(4)]
    connection.execute("UPDATE backups SET state = 'VERIFIED', verified_at = now()")
    [(locked,)] = connection.execute("SELECT DISTINCT locked_until > now() + interval '6 days' FROM backups").fetchall()
    assert locked, "its first lock stands in the row"
    before = len(bucket.asked)
    assert prune(few, connection).gone == [] and len(bucket.asked) == before
    connection.execute("UPDATE backups SET locked_until = now() - interval '1 s'")
    stuck = made[0].database.name.partition(".")[0]
    remove = remove_backup

    def refuse_one(storage: Storage, name: str) -> None:
        if name == stuck:
            raise StorageUnavailable("answered 403 AccessDenied")
        remove(storage, name)

    monkeypatch.setattr(prune_module, "remove_backup", refuse_one)
    with pytest.raises(BackupFailed, match=f"1 old backups can't be deleted, {made[0].id} first of all: answered 403"):
        work_off(few, connection)
    rows = connection.execute("SELECT id FROM backups WHERE pruned_at IS NOT NULL").fetchall()
    assert {row[0] for row in rows} == {made[1].id, made[2].id}


def test_googles_bucket_has_no_question_about_locks_and_a_time_of_its_own(
    far: Settings, bucket: FakeS3, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.is_google = True
    with pytest.raises(BackupFailed, match="answered 400 InvalidArgument"):
        back_up(far, connection)
    monkeypatch.setattr(object_store, "GOOGLE", "127.0.0.1")  # that it is Google's, its address says
    few = far.model_copy(update={"backup_keep_daily": 1, "backup_keep_weekly": 0, "backup_keep_monthly": 0})
    for _night in range(2):
        back_up(few, connection)
        work_off(few, connection)
    bucket.is_held = True
    assert connection.execute("SELECT count(*) FROM backups WHERE pruned_at IS NOT NULL").fetchone() is not None
    connection.execute("UPDATE backups SET pruned_at = NULL WHERE state = 'VERIFIED'")
    assert prune(few, connection).failure == "", "it is kept for as long as the bucket says, and no trouble"
    bucket.is_held = False
    assert len(prune(few, connection).gone) == 1


def test_keys_that_expire_in_the_middle_of_an_upload_are_a_failed_row_and_an_alert(
    far: Settings, bucket: FakeS3, connection: Connection
) -> None:
    storage_asked = bucket.asked

    class Expiring(list[tuple[str, str]]):
        def append(self, each: tuple[str, str]) -> None:
            super().append(each)
            if each == ("PUT", "part") and self.count(each) == 2:
                bucket.answers = (400, {}, "<Error><Code>ExpiredToken</Code></Error>")

    bucket.asked = Expiring(storage_asked)
    with pytest.raises(BackupFailed, match="answered 400 ExpiredToken"):
        back_up(far, connection)
    assert bucket.uploads, "what can't be removed now …"
    row = connection.execute("SELECT state, failure FROM backups").fetchone()
    assert row is not None and row[0] == "FAILED" and "ExpiredToken" in row[1]
    standing = read_standing(connection.execute(STANDING).fetchone() or ())
    assert "failed" in standing.alerts and standing.good_at is None
    bucket.answers, bucket.asked = None, []
    manifest = back_up(far, connection)
    assert work_off(far, connection).drilled == [manifest.id]
    assert bucket.uploads == {}, "… is removed by the next run"
    assert read_standing(connection.execute(STANDING).fetchone() or ()).alerts == []
