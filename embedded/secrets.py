"""The secrets of one installation: made once, each in a file of its own that only its owner reads.

Settings read them through ``NAME_FILE`` variables, so no secret stands in a process's environment.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from config import Principal
from embedded.errors import EmbeddedError
from embedded.home import write_private

SECRET_KEY = "secret_key"  # noqa: S105
FIELD_KEY = "field_key"
AUDIT_SIGNING_KEY = "audit_signing_key"
FORMER = ("secret_key_previous", "field_key_previous")
REDIS_PASSWORD = "redis_password"  # noqa: S105
SUPERUSER_PASSWORD = "postgres_superuser_password"  # noqa: S105
SUPERUSER = "sigilo_superuser"


class SecretsFolder:
    """Reads secrets by name, making those that have never been asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name

    def password(self, name: str) -> str:
        """A password of 256 random bits in characters that no URL has to quote."""
        return self._once(name, lambda: secrets.token_urlsafe(32))

    def key(self, name: str) -> str:
        """32 random bytes in base64: an AES-256 key, or the seed of an Ed25519 key."""
        return self._once(name, lambda: base64.b64encode(os.urandom(32)).decode())

    def role_passwords(self) -> dict[str, str]:
        """The password of each principal's database role, by role name."""
        return {principal.role: self.password(f"{principal.role}_password") for principal in Principal}

    def application_keys(self) -> dict[str, Path]:
        """The files of the application's own keys by variable name; made when missing, but for former keys, which the
        operator lays beside them while one changes."""
        self.password(SECRET_KEY)
        self.key(FIELD_KEY)
        self.key(AUDIT_SIGNING_KEY)
        former = [name for name in FORMER if self.path(name).is_file()]
        return {name.upper(): self.path(name) for name in (SECRET_KEY, FIELD_KEY, AUDIT_SIGNING_KEY, *former)}

    def store(self, name: str, value: str) -> Path:
        """Keep ``value``, which is derived from other secrets, such as a connection URL."""
        path = self.path(name)
        if self._read(path) != value:
            write_private(path, value + "\n")
        return path

    def _once(self, name: str, make: Callable[[], str]) -> str:
        path = self.path(name)
        value = self._read(path)
        if not value:
            value = make()
            try:
                write_private(path, value + "\n")
            except OSError as error:
                raise EmbeddedError(f"{path} cannot be written: {error.strerror}") from None
        return value

    def _read(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise EmbeddedError(f"{path} cannot be read ({error.strerror}): run as the owner of SIGILO_HOME") from None
