"""pg_dump of one snapshot, as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from backups.programs import running

# Nothing is compressed here: what is packed twice takes twice as long. Policies let the backup role see every row.
ARGUMENTS = ("--format=custom", "--compress=0", "--enable-row-security", "--lock-wait-timeout=60s")


@contextmanager
def dumped(programs: Path, url: str, snapshot: str) -> Iterator[IO[bytes]]:
    """The dump, to be read to its end. Raises BackupFailed when pg_dump does."""
    with running(programs / "pg_dump", [*ARGUMENTS, f"--snapshot={snapshot}"], url, reads=False) as (_, pipe):
        yield pipe
