"""The file of demo logins: whole or not at all, and for its owner's eyes only."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

FILE = "demo-credentials.json"


def write_credentials(home: Path, logins: dict[str, dict[str, str]]) -> Path:
    """Write ``logins`` (key → e-mail and password) to a file of mode 0600 in ``home``; gives its path."""
    path = home / FILE
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = home / f".{FILE}.{os.getpid()}.partial"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(orjson.dumps(logins, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
