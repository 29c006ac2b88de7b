"""A disk that is full: a table moved to a file system of a few pages, or, where none may be mounted, a stand-in.

Only root may mount. Elsewhere the table refuses every insert with the error that PostgreSQL gives for a full disk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from embedded.process import wait_until

SIZE = "1m"
SHRUNK_SECONDS = 30.0
STAND_IN = """
CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER disk_is_full BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION disk_is_full()
"""

Connection = psycopg.Connection[Any]


@contextmanager
def small_disk(superuser: Connection, table: str) -> Iterator[None]:
    """Within the block there is no room for more pages of ``table``. ``superuser`` is in autocommit."""
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder) / "disk"
        disk.mkdir()
        mounted = os.geteuid() == 0 and _mount(superuser, disk)
        if not mounted:
            with _stand_in(superuser, table):
                yield
            return
        Path(folder).chmod(0o755)
        try:
            with _table_on(superuser, table, disk):
                yield
        finally:
            subprocess.run(["umount", disk], check=True)


def _mount(superuser: Connection, disk: Path) -> bool:
    """Whether a file system is there now, which belongs to whom the server runs as."""
    row = superuser.execute("SHOW data_directory").fetchone()
    assert row is not None
    owner = Path(row[0]).stat()
    options = f"size={SIZE},mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    command = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def _table_on(superuser: Connection, table: str, disk: Path) -> Iterator[None]:
    # Pages that were needed once would take many more rows; they go as soon as no transaction may look at them.
    assert wait_until(lambda: _shrunk(superuser, table), SHRUNK_SECONDS)
    superuser.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
    superuser.execute(f"ALTER TABLE {table} SET TABLESPACE small")
    superuser.execute("CREATE TABLE filler (page text) TABLESPACE small")
    superuser.execute("ALTER TABLE filler ALTER page SET STORAGE PLAIN")
    try:
        try:
            while True:
                superuser.execute("INSERT INTO filler VALUES (repeat('x', 8000))")
        except psycopg.errors.DiskFull:
            pass
        yield
    finally:
        superuser.execute("DROP TABLE filler")
        superuser.execute(f"ALTER TABLE {table} SET TABLESPACE pg_default")
        superuser.execute("DROP TABLESPACE small")


def _shrunk(superuser: Connection, table: str) -> bool:
    superuser.execute(f"VACUUM FULL {table}")
    row = superuser.execute("SELECT pg_relation_size(%s) < 65536", (table,)).fetchone()
    return row == (True,)


@contextmanager
def _stand_in(superuser: Connection, table: str) -> Iterator[None]:
    superuser.execute(STAND_IN.format(table=table))
    try:
        yield
    finally:
        superuser.execute("DROP FUNCTION disk_is_full() CASCADE")
