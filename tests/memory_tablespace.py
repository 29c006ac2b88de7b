"""Databases of the tests' server lie in memory where it has room. Each is three hundred files, a run makes and drops
hundreds of them, and ext4 takes its time to find room for a file where others were deleted a moment ago: a sixth of all
processor time of a run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from embedded.postgres import PostgresServer

MEMORY = Path("/dev/shm")
ENOUGH = 2 * 1024**3  # bytes; some ten databases of 11 MiB are there at a time
PREFIX = "sigilo-tests-"
TEMPLATES = ("template0", "template1")  # what a database is copied from says where it lies


@contextmanager
def memory_folder() -> Iterator[Path | None]:
    """A folder in memory, None where there is no room; removed at the end, when no server may work in it any more."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH):
        yield None
        return
    _forget_killed_runs()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=MEMORY))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_databases_in(folder: Path, server: PostgresServer) -> None:
    """Databases that are made on the running ``server`` from now on lie in ``folder``."""
    owner = server.data.stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    with psycopg.connect(server.maintenance_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLESPACE memory LOCATION {}").format(sql.Literal(str(folder))))
        for name in TEMPLATES:
            connection.execute(sql.SQL("ALTER DATABASE {} SET TABLESPACE memory").format(sql.Identifier(name)))


def _forget_killed_runs() -> None:
    """What a run left that was killed before it could clean up."""
    for folder in MEMORY.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)
