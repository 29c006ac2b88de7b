"""PostgreSQL's part of an installation that root started: an account, a folder and programs of its own.

PostgreSQL refuses to run as root, and another account cannot look below a 0700 home. Instead of opening
one, the programs are copied to /var/lib/sigilo, where the account reads them, and data and socket lie there.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded.errors import EmbeddedError
from embedded.process import Account

ACCOUNT = "sigilo-pg"
SYSTEM_FOLDER = Path("/var/lib/sigilo")
PROGRAMS = "programs"
OWNER_FILE = "home"


def ensure_account() -> Account:
    """The account PostgreSQL runs as, made when missing: no login shell, no home, no password."""
    try:
        found = pwd.getpwnam(ACCOUNT)
    except KeyError:
        _make_account()
        found = pwd.getpwnam(ACCOUNT)
    if found.pw_uid == 0:
        raise EmbeddedError(f"the account {ACCOUNT} is root: remove it, and Sigilo makes one of its own")
    return Account(ACCOUNT, found.pw_uid, found.pw_gid)


def _make_account() -> None:
    command = [
        "useradd", "--system", "--user-group", "--no-create-home",
        "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", ACCOUNT,
    ]  # fmt: skip
    try:
        made = subprocess.run(
            command, check=False, capture_output=True, text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )  # fmt: skip
    except FileNotFoundError:
        raise EmbeddedError(f"PostgreSQL needs an account and useradd is missing: add a user {ACCOUNT}") from None
    if made.returncode != 0:
        reason = made.stderr.strip().splitlines()[-1:] or ["useradd failed"]
        raise EmbeddedError(f"the account {ACCOUNT} cannot be made ({reason[0]}): run as an ordinary user instead")


def ensure_system_folder(link: Path, home: Path) -> Path:
    """The folder that ``link`` in ``home`` leads to, made below /var/lib/sigilo when there is none.

    Raises EmbeddedError when another home that still exists owns it (a copied home copies the link).
    """
    with _exclusively():
        if link.is_symlink():
            folder = link.resolve()
            if folder.parent != SYSTEM_FOLDER or not folder.is_dir():
                raise EmbeddedError(f"{link} leads to {folder}, no folder of Sigilo's: restore or remove it")
            _check_owner(folder, link, home)
            return folder
        if link.exists():
            owner = link.stat().st_uid
            raise EmbeddedError(
                f"{link} was made by user {owner}: run as that user, or set SIGILO_HOME to another folder"
            )
        account = ensure_account()
        folder = SYSTEM_FOLDER / secrets.token_hex(8)
        folder.mkdir(mode=0o710)
        os.chown(folder, 0, account.gid)
        folder.chmod(0o710)
        (folder / OWNER_FILE).write_text(f"{home}\n", encoding="utf-8")
        link.symlink_to(folder)
        return folder


def _check_owner(folder: Path, link: Path, home: Path) -> None:
    recorded = folder / OWNER_FILE
    owner = Path(recorded.read_text(encoding="utf-8").strip())
    if owner == home:
        return
    other = owner / link.name
    if other.is_symlink() and other.resolve() == folder and not owner.samefile(home):
        raise EmbeddedError(f"{home} is a copy of {owner} and shares its database: remove {link} to begin a new one")
    recorded.write_text(f"{home}\n", encoding="utf-8")


def place_programs(installed: Path, version: str, account: Account) -> Path:
    """Copy ``installed``, one of the wheel's PostgreSQLs, and the libraries beside the wheel's package to where
    ``account`` may run them.

    Copied once per ``version`` of the wheel, each into a folder of its own, which is whole or not there; owned by root,
    so that a broken-into server cannot change its programs. Returns the copy of ``installed``.
    """
    package = installed.parent
    with _exclusively():
        folder = SYSTEM_FOLDER / PROGRAMS
        folder.mkdir(mode=0o711, exist_ok=True)
        folder.chmod(0o711)
        placed = folder / f"{version}-{installed.name}"
        if not placed.is_dir():
            partial = folder / f".{placed.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(mode=0o700)
            skip = shutil.ignore_patterns("include", "*.a", "__pycache__")
            shutil.copytree(installed, partial / package.name / installed.name, ignore=skip)
            shutil.copytree(package.with_name(f"{package.name}.libs"), partial / f"{package.name}.libs")
            # A private umask at installation made them unreadable for the account.
            for path, _, files in os.walk(partial):
                os.chmod(path, 0o755)  # noqa: S103  (inside a 0750 folder)
                for name in files:
                    file = Path(path, name)
                    if not file.is_symlink():
                        file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
            partial.rename(placed)
        os.chown(placed, -1, account.gid)  # at every start: the account may have been made anew
        placed.chmod(0o750)
        return placed / package.name / installed.name


def remove_system_folder(link: Path) -> None:
    """Delete the folder that ``link`` leads to, with the database in it, and the link."""
    folder = link.resolve()
    if link.is_symlink() and folder.parent == SYSTEM_FOLDER:
        link.unlink()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _exclusively() -> Iterator[None]:
    """Let starts of different installations prepare the shared folder one after the other."""
    try:
        if not SYSTEM_FOLDER.is_dir():
            SYSTEM_FOLDER.mkdir(mode=0o711, parents=True, exist_ok=True)
            SYSTEM_FOLDER.chmod(0o711)
        descriptor = os.open(SYSTEM_FOLDER / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EmbeddedError(
            f"{SYSTEM_FOLDER} cannot be made ({error.strerror}): run as an ordinary user instead"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
