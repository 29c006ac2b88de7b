"""Bring the dump of a backup into an empty database, from the store, without a copy of it on any disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from backups.encrypt import unsealed
from backups.errors import BackupFailed, NotRestorable
from backups.manifest import Manifest, Part
from backups.programs import PIPE_BYTES, running
from backups.store import Measured
from integrations.storage import Storage, kind_of
from services.age_stream import identities_of
from services.errors import Invalid

# As the owner of everything; whose rights to what stand in the dump. The first error ends it.
ARGUMENTS = ("--no-owner", "--exit-on-error")
# The database is dropped, or not used before all of it is there.
OPTIONS = "-c synchronous_commit=off -c maintenance_work_mem=128MB"

Progress = Callable[[int, int | None], None]


def load_database(
    storage: Storage, manifest: Manifest, identity: str, programs: Path, url: str, progress: Progress
) -> float:
    """Restore into the empty database at ``url``, as its owner; gives the seconds that it took. Raises BackupFailed:
    then something of it may be there, and the database is to be dropped."""
    part, began = manifest.database, time.monotonic()

    def restore(plain: IO[bytes]) -> None:
        done = 0
        with running(programs / "pg_restore", ARGUMENTS, url, reads=True, options=OPTIONS) as (process, pipe):
            while data := plain.read(PIPE_BYTES):
                pipe.write(data)
                done += len(data)
                progress(done, part.contains)
            pipe.close()
            process.wait()

    read_part(storage, manifest, part, identity, restore)
    return time.monotonic() - began


def read_part(
    storage: Storage, manifest: Manifest, part: Part, identity: str, take: Callable[[IO[bytes]], object]
) -> None:
    """Give the part's plain text to ``take``, and see that every stored byte of it is what was written. Raises
    BackupFailed."""
    try:
        with storage.reading(part.name) as file:
            measured = Measured(file)
            try:
                with unsealed(cast(IO[bytes], measured), identity) as plain:
                    take(plain)
            except (Invalid, BackupFailed) as error:
                if measured.failure is not None:
                    raise measured.failure from error
                _explain(measured, part, manifest, error)
            measured.read_rest()
    except OSError as error:
        raise BackupFailed(f"The part {part.name} can't be read: {kind_of(error)}.") from error
    if (measured.size, measured.sha256) != (part.size, part.sha256):
        raise NotRestorable(_damaged(part))


def refuse_wrong_key(manifest: Manifest, identity: str) -> None:
    """Before anything is fetched: whether one of the keys in ``identity`` is one that it was encrypted to. Raises
    BackupFailed, and Invalid where there is no key in it."""
    recipients = {each.lower() for each in (manifest.recovery, manifest.drill) if each}
    if not any(str(each.to_public()) in recipients for each in identities_of(identity)):
        raise _wrong_key(manifest)


def _wrong_key(manifest: Manifest) -> BackupFailed:
    recipients = ", ".join(each for each in (manifest.recovery, manifest.drill) if each)
    return BackupFailed(f"The key does not open this backup: it was encrypted to {recipients}.")


def _explain(measured: Measured, part: Part, manifest: Manifest, error: Invalid | BackupFailed) -> None:
    """What is the matter when it could not be opened: a damaged file, or another key."""
    measured.read_rest()
    if (measured.size, measured.sha256) != (part.size, part.sha256):
        raise NotRestorable(_damaged(part)) from error
    if isinstance(error, Invalid):
        raise _wrong_key(manifest) from error
    raise error


def _damaged(part: Part) -> str:
    return f"The part {part.name} is damaged: it is not what was written."
