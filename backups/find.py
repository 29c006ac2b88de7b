"""Find the backup that somebody means, by what lies in the store alone: nothing here needs the lost database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from backups.errors import BackupFailed, Shrunken, Untrusted
from backups.manifest import Manifest, manifest_signer, open_manifest
from backups.store import ENDINGS, MANIFEST, read_note, store_of, stored_names
from config import Settings
from integrations.storage import FolderStorage, Storage
from services.audit_checkpoint import trusted_keys
from services.signed_note import NoteError, VerifierKey, key_id, parse_note

LATEST = "latest"
LOOKED_BACK = 7  # backups before the newest
MOST_UNREADABLE = 3  # after so many it is the store, and not they
MOST_NAMED = 3


@dataclass(frozen=True)
class Found:
    """A backup and where it lies. ``foreign``: how many newer ones in the same place others signed."""

    storage: Storage
    url: str
    name: str
    note: str
    manifest: Manifest
    foreign: int = 0


@dataclass
class _Search:
    """From the newest back. ``bad``: names of those that should be ours and can't be trusted, the newest first."""

    found: Found | None = None
    bad: list[str] = field(default_factory=list)
    foreign: int = 0


def trusted(settings: Settings, keys: Sequence[str]) -> list[VerifierKey]:
    """Those that somebody names, else the installation's own, former ones too: on a new machine, whose own backups are
    of an empty clinic, nothing but what was named is meant. Raises Invalid."""
    return trusted_keys(keys) or manifest_signer(settings).trusted


def find_backup(settings: Settings, wanted: str, keys: Sequence[VerifierKey]) -> Found:
    """The backup that ``wanted`` names: an id, the beginning of a name, ``latest``, or the path of a manifest or of a
    part beside it. Raises BackupFailed when there is none, or its manifest is not signed by one of ``keys``; Untrusted
    and Shrunken where ``latest`` may not be what is meant."""
    path = Path(wanted)
    if wanted.endswith((MANIFEST, *ENDINGS.values())) or path.is_file():
        return _at(path.absolute(), keys)
    storage, url = store_of(settings), settings.backup_store
    names = stored_names(storage)
    if wanted == LATEST:
        # What a retired key signed is believed of the past: whoever finds one makes no newest backup with it.
        present = [key for key in keys if key.until is None]
        search = _newest(storage, url, names, present)
        if search.found is None:
            search = _newest(storage, url, names, keys)
        found = _not_before_bad(search, url)
        _refuse_shrunken(found, names, keys)
        return found
    matching = [name for name in names if wanted and (name.endswith(wanted) or name.startswith(wanted))]
    if len(matching) != 1:
        how_many = "no backup" if not matching else f"{len(matching)} backups"
        raise BackupFailed(f"There is {how_many} of this name at {url}: `sigilo backup list` shows what there is.")
    note = read_note(storage, matching[0])
    return Found(storage, url, matching[0], note, open_manifest(note, keys))


def _at(path: Path, keys: Sequence[VerifierKey]) -> Found:
    """A stick holds whole backups: a part of one names it as well as its manifest does."""
    ending = next((each for each in (MANIFEST, *ENDINGS.values()) if path.name.endswith(each)), None)
    if ending is None:
        raise BackupFailed(f"{path.name} is no part of a backup: name its manifest, which ends in {MANIFEST}.")
    storage, name = FolderStorage(path.parent), path.name.removesuffix(ending)
    if storage.size(name + MANIFEST) is None:
        raise BackupFailed(f"{name}{MANIFEST} does not lie in {path.parent}: it says what the backup is, and whose.")
    note = read_note(storage, name)
    return Found(storage, f"file://{path.parent}", name, note, open_manifest(note, keys))


def _newest(storage: Storage, url: str, names: Sequence[str], keys: Sequence[VerifierKey]) -> _Search:
    search, unreadable = _Search(), 0
    for name in reversed(names):
        try:
            note = read_note(storage, name)
        except BackupFailed:
            unreadable += 1
            if unreadable == MOST_UNREADABLE:
                raise
            search.bad.append(name)
            continue
        try:
            search.found = Found(storage, url, name, note, open_manifest(note, keys))
            break
        except BackupFailed:
            if _should_be_ours(note, keys):
                search.bad.append(name)
            else:
                search.foreign += 1  # another installation's in the same place
    return search


def _should_be_ours(note: str, keys: Sequence[VerifierKey]) -> bool:
    """Whether it names one of ``keys`` as who signed it, or nobody any more."""
    try:
        _, signatures = parse_note(note)
    except NoteError:
        return True
    return any(each.key_id == key_id(each.name, key.public) for each in signatures for key in keys)


def _not_before_bad(search: _Search, url: str) -> Found:
    """What was found, unless something newer should be ours: to restore an older one then is for a person to say."""
    found, bad = search.found, len(search.bad)
    named = ", ".join(search.bad[:MOST_NAMED])
    if found is None:
        also = f"; {bad} are damaged or can't be read ({named})" if bad else ""
        raise BackupFailed(f"There is no backup at {url} that a key trusted here has signed{also}.")
    if bad:
        raise Untrusted(
            f"{bad} newer than {found.manifest.id} of {found.manifest.finished_at:%Y-%m-%d %H:%M} UTC can't be trusted:"
            f" manifests that are damaged, changed or can't be read ({named}). Look at the store, or name the one you"
            " want by its id."
        )
    return replace(found, foreign=search.foreign)


def _refuse_shrunken(newest: Found, names: Sequence[str], keys: Sequence[VerifierKey]) -> None:
    """The newest of a clinic that was emptied, or begun anew in the same place, is not what anybody wants back."""
    rows = newest.manifest.rows
    earlier = [name for name in names if name < newest.name][-LOOKED_BACK:]
    for name in reversed(earlier):
        with suppress(BackupFailed):
            before = open_manifest(read_note(newest.storage, name), keys)
            if rows < before.rows / 2:
                raise Shrunken(
                    f"The newest backup has {rows} rows, and {before.id} of {before.finished_at:%Y-%m-%d %H:%M} UTC has"
                    f" {before.rows}: name the one you want by its id (`sigilo backup list`)."
                )
