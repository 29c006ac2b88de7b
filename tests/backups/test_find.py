"""Which backup is meant: what is newer and can't be trusted is said, and never passed over in silence."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from backups.errors import BackupFailed, Untrusted
from backups.find import find_backup, trusted
from backups.manifest import Manifest, manifest_signer
from backups.store import name_of
from config import Settings
from services.signed_note import Signer
from tests.backups.test_manifest import MANIFEST


@pytest.fixture
def there(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"backup_url": f"file://{tmp_path}"})


def lay(folder: Path, signer: Signer, day: int) -> Path:
    later = timedelta(days=day)
    made = dataclasses.replace(
        MANIFEST, id=uuid.uuid4(), started_at=MANIFEST.started_at + later, finished_at=MANIFEST.finished_at + later
    )
    path = folder / f"{name_of(made.id, made.started_at)}.manifest"
    path.write_text(signer.sign(made.text()))
    return path


def latest(there: Settings) -> Manifest:
    return find_backup(there, "latest", trusted(there, ())).manifest


@pytest.mark.parametrize("damage", ["changed", "empty", "no note", "unreadable"])
def test_an_older_one_is_not_taken_for_the_newest_because_that_one_is_damaged(
    there: Settings, tmp_path: Path, damage: str
) -> None:
    signer = manifest_signer(there)
    older, newest = lay(tmp_path, signer, 0), lay(tmp_path, signer, 1)
    assert str(latest(there).id) in newest.name
    text = newest.read_text()
    newest.unlink()
    if damage == "unreadable":
        newest.mkdir()
    else:
        newest.write_text({"changed": text.replace("patients", "patience"), "empty": "", "no note": "x"}[damage])
    with pytest.raises(Untrusted, match=r"1 newer than .* can't be trusted") as refused:
        latest(there)
    assert newest.name.removesuffix(".manifest") in refused.value.detail
    wanted = older.name.removesuffix(".manifest")
    assert find_backup(there, wanted[-36:], trusted(there, ())).name == wanted, "one that is named is given"
    older.unlink()
    with pytest.raises(BackupFailed, match="1 are damaged or can't be read"):
        latest(there)


def test_what_others_signed_is_counted_and_not_minded(there: Settings, tmp_path: Path) -> None:
    ours = lay(tmp_path, manifest_signer(there), 0)
    for day in (1, 2):
        lay(tmp_path, Signer("other.example/backup", bytes(32)), day)
    found = find_backup(there, "latest", trusted(there, ()))
    assert (f"{found.name}.manifest", found.foreign) == (ours.name, 2)


def test_a_store_that_can_not_be_read_is_not_asked_for_all_of_it(there: Settings, tmp_path: Path) -> None:
    for day in range(4):
        lay(tmp_path, manifest_signer(there), day).unlink()
    for number in range(4):
        (tmp_path / f"2026112{number}.manifest").mkdir()
    with pytest.raises(BackupFailed, match="The manifest of 20261121 can't be read"):
        latest(there)


def test_a_part_names_its_backup_and_what_is_none_is_told_so(there: Settings, tmp_path: Path) -> None:
    manifest = lay(tmp_path, manifest_signer(there), 0)
    part = tmp_path / manifest.name.replace(".manifest", ".database.zst.age")
    part.write_bytes(b"x")
    assert find_backup(there, str(part), trusted(there, ())).name == manifest.name.removesuffix(".manifest")
    manifest.unlink()
    with pytest.raises(BackupFailed, match=r"\.manifest does not lie in"):
        find_backup(there, str(part), trusted(there, ()))
    part.rename(tmp_path / "photo.jpg")
    with pytest.raises(BackupFailed, match=r"photo\.jpg is no part of a backup: name its manifest"):
        find_backup(there, str(tmp_path / "photo.jpg"), trusted(there, ()))
