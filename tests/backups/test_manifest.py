"""A manifest is signed under a key and a name of its own, and nothing else passes for one."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from backups.errors import BackupFailed
from backups.find import find_backup, trusted
from backups.manifest import Manifest, Part, manifest_signer, open_manifest
from backups.restore import refuse_newer_schema
from config import Settings
from migrations.run import head
from services.audit_checkpoint import Checkpoint, signer_of
from services.signed_note import NoteError, Signer

MANIFEST = Manifest(
    id=uuid.uuid4(), origin="clinic.example/audit-chain", started_at=datetime(2026, 11, 26, 5, tzinfo=UTC),
    finished_at=datetime(2026, 11, 26, 5, 1, tzinfo=UTC), seconds=60.0, application="1.0.0", revision=head(),
    server=160014, head=(7, "ab" * 32), recovery="age1x", drill="age1y", tables={"patients": 3},
    parts=(Part("database", "x.database.zst.age", 10, "cd" * 32, 90),),
)  # fmt: skip


def test_what_is_signed_is_read_back(settings: Settings) -> None:
    signer = manifest_signer(settings)
    assert open_manifest(signer.sign(MANIFEST.text()), [signer.own_key]) == MANIFEST


def test_a_manifest_from_before_there_were_samples_is_read(settings: Settings) -> None:
    signer = manifest_signer(settings)
    text = MANIFEST.text()
    older = text.replace(',"samples":""', "")
    assert older != text and open_manifest(signer.sign(older), [signer.own_key]) == MANIFEST


def test_a_manifest_of_a_newer_program_is_read_for_what_is_known_of_it(settings: Settings) -> None:
    signer = manifest_signer(settings)
    first, body = MANIFEST.text().splitlines()
    newer = orjson.loads(body)
    newer["weather"] = "rain"
    newer["parts"][0]["colour"] = {"of": "it"}
    note = signer.sign(f"{first}\n{orjson.dumps(newer).decode()}\n")
    assert open_manifest(note, [signer.own_key]) == MANIFEST


def test_neither_a_checkpoint_passes_for_a_manifest_nor_a_manifest_for_a_checkpoint(settings: Settings) -> None:
    trail, ours = signer_of(settings), manifest_signer(settings)
    assert trail.verifier.public != ours.verifier.public and trail.name != ours.name
    checkpoint = Checkpoint(trail.name, 7, bytes(32), bytes(32))
    with pytest.raises(BackupFailed, match="not signed"):
        open_manifest(trail.sign(checkpoint.text()), [ours.own_key])
    with pytest.raises(NoteError):
        Checkpoint.open(ours.sign(MANIFEST.text()), [trail.own_key])
    # Not even under one key.
    with pytest.raises(BackupFailed, match="no manifest"):
        open_manifest(ours.sign(checkpoint.text()), [ours.own_key])
    with pytest.raises(NoteError):
        Checkpoint.open(ours.sign(MANIFEST.text()), [ours.own_key])


def test_a_changed_or_foreign_manifest_is_refused(settings: Settings) -> None:
    signer = manifest_signer(settings)
    note = signer.sign(MANIFEST.text())
    with pytest.raises(BackupFailed, match="not signed"):
        open_manifest(note.replace('"patients":3', '"patients":2'), [signer.own_key])
    other = Signer(signer.name, bytes(32))
    with pytest.raises(BackupFailed, match="not signed"):
        open_manifest(other.sign(MANIFEST.text()), [signer.own_key])
    assert open_manifest(other.sign(MANIFEST.text()), trusted(settings, [str(other.verifier)])) == MANIFEST


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"id": 1}', "null", '{"parts": [{}]}'])
def test_what_is_malformed_is_refused_though_signed(settings: Settings, body: str) -> None:
    signer = manifest_signer(settings)
    with pytest.raises(BackupFailed):
        open_manifest(signer.sign(f"sigilo-backup/1\n{body}\n"), [signer.own_key])


def test_a_newer_schema_is_refused() -> None:
    refuse_newer_schema(MANIFEST)
    with pytest.raises(BackupFailed, match="newer Sigilo"):
        refuse_newer_schema(dataclasses.replace(MANIFEST, revision="9999"))


def test_the_latest_of_ours_is_found_among_those_of_others(settings: Settings, tmp_path: Path) -> None:
    here = settings.model_copy(update={"backup_url": f"file://{tmp_path}"})
    with pytest.raises(BackupFailed, match="no backup"):
        find_backup(here, "latest", trusted(here, ()))
    for name, signer in (("1", manifest_signer(here)), ("2", manifest_signer(here)), ("3", Signer("x", bytes(32)))):
        (tmp_path / f"{name}.manifest").write_text(signer.sign(MANIFEST.text()))
    assert find_backup(here, "latest", trusted(here, ())).name == "2"
    assert find_backup(here, "1", trusted(here, ())).name == "1"
    assert find_backup(here, str(tmp_path / "2.manifest"), trusted(here, ())).name == "2"
    for wanted in ("3", "9", str(tmp_path / "9.manifest")):
        with pytest.raises(BackupFailed):
            find_backup(here, wanted, trusted(here, ()))
