"""PostgreSQL's own pg_dump and pg_restore: the ones of the server's version, started so that no secret is seen.

A dump by a newer pg_dump does not restore cleanly into an older server, and an older one refuses to dump a newer
server, so only the server's own major version will do.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from backups.errors import BackupFailed
from config import Settings
from models.connection import ALIVE

DEBIAN = "/usr/lib/postgresql/{}/bin"
PIPE_BYTES = 1 << 20  # the kernel's default of 64 KiB makes sixteen times as many switches
VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
SECRET = ("password", "sslpassword", "passfile")
# What the programs say, and what is said of it: their own words may quote a row.
KNOWN = {
    "No space left on device": "the database server has no space left",
    "password authentication failed": "the database refused the login of this role",
    "could not connect": "the database can't be reached",
    "connection to server": "the database can't be reached, or ended the connection",
    "server closed the connection": "the database ended the connection",
    "terminating connection": "the database ended the connection",
    "permission denied": "this role may not read or write all of it",
    "must be owner": "this role is not the owner of all of it",
    "lock timeout": "a table was locked by somebody else for too long",
    "unexpected end of file": "the backup breaks off",
    "server version mismatch": "it is of another version than the server",
}
UNSHOWN = "its words may quote a record and are not shown"


def programs_of(settings: Settings, major: int) -> Path:
    """Folder with the pg_dump and pg_restore of PostgreSQL ``major``. Raises BackupFailed."""
    named = settings.postgres_programs
    on_path = shutil.which("pg_dump")
    places = [Path(place) for place in named.split(os.pathsep) if place]
    places += [Path(DEBIAN.format(major)), *([Path(on_path).resolve().parent] if on_path else [])]
    found = {place: _major(place) for place in dict.fromkeys(places)}
    for place, version in found.items():
        if version == major:
            return place
    others = ", ".join(sorted({str(version) for version in found.values() if version is not None})) or "–"
    raise BackupFailed(
        f"The server is PostgreSQL {major} and no pg_dump of that version is here (found: {others}): install"
        f" postgresql-client-{major}, or name the folder of its programs in POSTGRES_PROGRAMS."
    )


def _major(place: Path) -> int | None:
    try:
        said = subprocess.run(  # noqa: S603
            [place / "pg_dump", "--version"], capture_output=True, text=True, check=False, timeout=20
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = VERSION.search(said)
    return int(match[1]) if match else None


@contextmanager
def running(
    program: Path, arguments: Sequence[str], url: str, *, reads: bool, options: str = ""
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """``program`` at work on the database ``url``, and the pipe that it reads from (``reads``) or writes to. Ended with
    the block. Raises BackupFailed when it does not end well, and instead of a broken pipe."""
    given: dict[str, Any] = conninfo_to_dict(url)
    password = given.get("password")
    if options:
        given["options"] = f"{given.get('options', '')} {options}".strip()
    with _password_file(password) as (descriptor, path), tempfile.TemporaryFile() as said:
        plain = {name: value for name, value in given.items() if name not in SECRET and value is not None}
        # Not all of GONE: a server that is slow to take a restored table's rows is not gone.
        target = make_conninfo(**(ALIVE | plain), **({"passfile": path} if path else {}))
        process = subprocess.Popen(  # noqa: S603
            [program, "--no-password", f"--dbname={target}", *arguments],
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if reads else subprocess.PIPE,
            stderr=said,
            env=_environment(program.name),
            pass_fds=[descriptor] if descriptor is not None else [],
            start_new_session=True,  # Ctrl-C reaches this process, which ends it
        )
        pipe = process.stdin if reads else process.stdout
        assert pipe is not None  # noqa: S101
        with suppress(OSError, AttributeError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            try:
                yield process, pipe
            except BrokenPipeError:
                if not reads:  # somebody else's pipe
                    raise
                # Why is in its exit code.
            finally:
                with suppress(BrokenPipeError):
                    pipe.close()
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if code != 0:
            said.seek(0)
            raise BackupFailed(f"{program.name} ended with {code}: {_reason(said.read(100_000))}.")


def _reason(said: bytes) -> str:
    text = said.decode(errors="replace")
    return next((KNOWN[theirs] for theirs in KNOWN if theirs in text), UNSHOWN)


def _environment(program: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith("PGSSL") or name in ("PATH", "HOME")}
    return kept | {"LC_ALL": "C", "PGAPPNAME": f"sigilo {program}", "PGCONNECT_TIMEOUT": "10"}


@contextmanager
def _password_file(password: str | None) -> Iterator[tuple[int | None, str]]:
    """A file in memory that the child alone is handed: nothing in its arguments or environment, nothing on a disk."""
    if not password:
        yield None, ""
        return
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    descriptor = os.memfd_create("pgpass", 0)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, f"*:*:*:*:{escaped}\n".encode())
        yield descriptor, f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
