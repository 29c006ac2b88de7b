"""Databases of the tests' server lie in memory where it has room. Each is three hundred files, a run makes and drops
hundreds of them, and ext4 takes its time to find room for a file where others were deleted a moment ago: a sixth of all
processor time of a run."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql

from embedded.postgres import PostgresServer

MEMORY = Path("/dev/shm")
ENOUGH = 1024**3  # bytes for each server of a run: some ten databases of 11 MiB are there at a time
PREFIX = "sigilo-tests-"
NEW_SECONDS = 60.0  # a folder is locked long before
TEMPLATES = ("template0", "template1")  # what a database is copied from says where it lies


@contextmanager
def memory_folder(memory: Path = MEMORY) -> Iterator[Path | None]:
    """A folder in ``memory``, None where there is no room. Removed at the end: the caller's server has ended by then.
    It is locked meanwhile, so that others see that somebody uses it."""
    servers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if not (memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > servers * ENOUGH):
        yield None
        return
    _forget_killed_runs(memory)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=memory))
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def keep_databases_in(folder: Path, server: PostgresServer) -> None:
    """Databases that are made on the running ``server`` from now on lie in ``folder``."""
    owner = server.data.stat()
    if owner.st_uid != os.geteuid():  # root's server runs as another account
        os.chown(folder, owner.st_uid, owner.st_gid)
    with psycopg.connect(server.maintenance_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLESPACE memory LOCATION {}").format(sql.Literal(str(folder))))
        for name in TEMPLATES:
            connection.execute(sql.SQL("ALTER DATABASE {} SET TABLESPACE memory").format(sql.Identifier(name)))


def _forget_killed_runs(memory: Path) -> None:
    """What a run left that was killed before it could clean up. Another account's can't be removed, and stays."""
    for folder in memory.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime < NEW_SECONDS:
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
