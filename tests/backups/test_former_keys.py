"""AUDIT_SIGNING_KEY is replaced: the clinic's older backups are drilled and restored, and nobody makes newer ones with
the key of before."""

from __future__ import annotations

import dataclasses

import pytest
from pydantic import SecretStr, ValidationError

from backups.adopt import adopt_stored
from backups.drill import run_drill
from backups.errors import BackupFailed
from backups.job import Connection
from backups.manifest import Manifest, manifest_signer
from backups.restore import find_backup, trusted
from backups.store import MANIFEST
from config import Settings
from embedded.doctor import signing_keys
from embedded.errors import TroubleError
from services.audit_checkpoint import public_key
from tests.backups.conftest import back_up, silent
from tests.conftest import test_key as key_of

pytestmark = pytest.mark.database
UNKNOWN = "not signed by a key that is trusted here"


def replaced(before: Settings, last: int | None) -> Settings:
    """With another key; the former ones are believed up to event ``last``."""
    end = "" if last is None else f"@{last}"
    update = {
        "audit_signing_key": SecretStr(key_of("another")),
        "audit_former_keys": (f"{public_key(before)}{end}",),
        "backup_former_keys": (f"{manifest_signer(before).verifier}{end}",),
    }
    return before.model_copy(update=update)


def lay(settings: Settings, manifest: Manifest, name: str) -> None:
    """Into the store, signed with the key of ``settings``, under ``name``."""
    folder = settings.sigilo_home / "backups"
    (folder / f"{name}{MANIFEST}").write_text(manifest_signer(settings).sign(manifest.text()))


def test_older_backups_are_drilled_and_found_under_the_former_key(here: Settings, connection: Connection) -> None:
    manifest = back_up(here, connection)
    head = manifest.head[0]
    now = replaced(here, head)
    unnamed = now.model_copy(update={"backup_former_keys": ()})
    too_early = replaced(here, head - 1)
    for settings in (unnamed, too_early):
        with pytest.raises(BackupFailed, match=UNKNOWN):
            run_drill(settings, connection, manifest.id, silent)
        with pytest.raises(BackupFailed, match=UNKNOWN):
            find_backup(settings, str(manifest.id), trusted(settings, ()))
    assert run_drill(now, connection, manifest.id, silent)["compared"]
    assert find_backup(now, str(manifest.id), trusted(now, ())).manifest == manifest
    assert find_backup(now, "latest", trusted(now, ())).manifest == manifest
    stranger = now.model_copy(update={"audit_signing_key": SecretStr(key_of("stranger"))})
    lay(stranger, dataclasses.replace(manifest, seconds=1.0), f"99990101T000000Z-{manifest.id}")
    assert find_backup(now, "latest", trusted(now, ())).manifest == manifest, "a stranger's is not taken for ours"
    with pytest.raises(BackupFailed, match=UNKNOWN):
        find_backup(now, "99990101", trusted(now, ()))


def test_whoever_has_the_former_key_makes_no_newest_backup_with_it(here: Settings, connection: Connection) -> None:
    before = back_up(here, connection)
    now = replaced(here, before.head[0])
    newest = back_up(now, connection)
    lay(here, before, f"99990101T000000Z-{before.id}")
    assert find_backup(now, "latest", trusted(now, ())).manifest == newest


def test_older_ones_are_known_again_after_a_restore(here: Settings, connection: Connection) -> None:
    manifest = back_up(here, connection)
    connection.execute("UPDATE backups SET state = 'FAILED', failure = 'x', manifest = NULL")
    assert adopt_stored(replaced(here, None).model_copy(update={"backup_former_keys": ()}), connection) == 0
    assert adopt_stored(replaced(here, manifest.head[0]), connection) == 1


def test_doctor_wants_an_end_and_no_key_that_signs(here: Settings) -> None:
    assert signing_keys(replaced(here, 7)) == "one in use, 2 former"
    endless = replaced(here, 7).model_copy(update={"backup_former_keys": (str(manifest_signer(here).verifier),)})
    with pytest.raises(TroubleError, match=r"BACKUP_FORMER_KEYS is .* event that the present key signed"):
        signing_keys(endless)
    with pytest.raises(TroubleError, match="BACKUP_FORMER_KEYS names the key"):
        signing_keys(here.model_copy(update={"backup_former_keys": (f"{manifest_signer(here).verifier}@7",)}))
    with pytest.raises(ValidationError, match="BACKUP_FORMER_KEYS takes keys"):
        Settings(**{**here.model_dump(), "backup_former_keys": "none"})
