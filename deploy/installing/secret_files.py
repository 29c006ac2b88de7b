"""The secrets and keys of an installation in containers: which there are, and how each is made.

A file is made when it is missing and never written over. What one file has to agree with is read from the other.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from installing.files import InstallError, create, replace
from installing.keys import certificate, private_key

# As Principal has them (a test compares). Of DATABASE_URL itself every process has the visitor's, the weakest.
ROLES = ("migrator", "staff", "patient", "worker", "auditor", "backup")
DATABASE = "postgres:5432/sigilo?sslmode=verify-full&sslrootcert=/run/secrets/postgres_ca"
DRILLS = "postgres-drills:5432/postgres?sslmode=verify-full&sslrootcert=/run/secrets/postgres_drills_ca"
# What ours may do in a Redis: everything but to look after the server. Celery asks what server it is.
APPLICATION = "~* &* +@all -@admin -@dangerous +info"
MONITOR = "resetchannels -@all +ping +info +config|get +slowlog +latency +client|setname +client|list"
HEALTH = "user health on nopass resetchannels -@all +ping"
# Files for containers: their owner and SECRETS_GROUP read them, and nobody else comes into the folder.
FILE_MODE, FOLDER_MODE, INNER_FOLDER_MODE = 0o440, 0o700, 0o750
INNER_FOLDERS = ("web", "worker")
MADE = ".made"  # the names of what was there at the end of the last run


class Secrets:
    """The folder, and what is in it. ``group`` is the number of SECRETS_GROUP."""

    def __init__(self, folder: Path, group: int) -> None:
        self.folder = folder
        self._group = group

    @property
    def is_complete(self) -> bool:
        """Whether a run ended with all of it."""
        return (self.folder / MADE).exists()

    def refuse_lost(self) -> None:
        """Raise InstallError where something is gone that was there: a new key could read nothing of the data."""
        listed = self.folder / MADE
        known = listed.read_text().split() if listed.exists() else []
        lost = [name for name in known if not (self.folder / name).exists()]
        if lost:
            raise InstallError(
                f"{self.folder} lacks {', '.join(lost)}, which it had: put back what your copy of the folder has."
                f" What is truly to be made anew, take out of {listed} first"
            )

    def make(self, smtp_url: str, checkpoint_sinks: str, *, object_store: bool = False) -> list[str]:
        """Whatever is missing, and gives its names. The first two are what a first run writes down; ``object_store``:
        keys and certificate of an S3 store of one's own, too."""
        self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self.folder.chmod(FOLDER_MODE)
        for name in INNER_FOLDERS:
            inner = self.folder / name
            inner.mkdir(exist_ok=True)
            self._give(inner, INNER_FOLDER_MODE)
        values = self._values(smtp_url, checkpoint_sinks) | (self._of_the_store() if object_store else {})
        made = [name for name, value in values.items() if self._once(name, value)]
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name != MADE:
                self._give(path, FILE_MODE)
        names = {each.name for each in self.folder.iterdir() if each.is_file() and each.name[0] != "."}
        # In the folders within lie settings of the operator's own choosing, too, which may go again: keys of somebody
        # else's bucket are, and those of a store of one's own are not.
        if "object_store.json" in names:
            names.update(name for name in self._of_the_store() if (self.folder / name).exists())
        replace(self.folder / MADE, "\n".join(sorted(names)) + "\n", 0o600)
        return made

    def _values(self, smtp_url: str, checkpoint_sinks: str) -> dict[str, Callable[[], str]]:
        """By file, in the order they are made: later ones read earlier ones."""
        values: dict[str, Callable[[], str]] = {
            "secret_key": lambda: random_base64(48),
            "field_key": lambda: random_base64(32),
            "audit_signing_key": lambda: random_base64(32),
            **dict.fromkeys(
                ("metrics_token", "postgres_password", "postgres_monitor_password", "postgres_drills_password",
                 "grafana_password", "grafana_secret_key", "watchdog_token"), lambda: secrets.token_urlsafe(32),
            ),
            "database_url_superuser": lambda: database_url("postgres", self._read("postgres_password")),
            "database_url": partial(new_login, "sigilo_anonymous"),
            "postgres.key": private_key,
            "postgres.crt": lambda: certificate(self.folder / "postgres.key", "postgres"),
            "drill_database_url": lambda: database_url("postgres", self._read("postgres_drills_password"), DRILLS),
            "postgres_drills.key": private_key,
            "postgres_drills.crt": lambda: certificate(self.folder / "postgres_drills.key", "postgres-drills"),
            "pgbackrest.conf": lambda: f"[global]\nrepo1-cipher-pass={secrets.token_urlsafe(48)}",
            "redis_monitor.json": lambda: json.dumps({"redis://monitor@redis:6379": secrets.token_urlsafe(32)}),
            "redis_url": lambda: f"redis://sigilo:{secrets.token_urlsafe(32)}@redis:6379/0",
            "redis_acl": lambda: access_list(self._read("redis_url"), self._read("redis_monitor.json")),
            "cache_url": lambda: f"redis://sigilo:{secrets.token_urlsafe(32)}@redis-cache:6379/0",
            "redis_cache_acl": lambda: access_list(self._read("cache_url")),
            "smtp_url": lambda: smtp_url,
            "smtp_password": lambda: unquote(urlsplit(self._read("smtp_url")).password or "none"),
            "checkpoint_sinks": lambda: checkpoint_sinks,
        }  # fmt: skip
        return values | {f"database_url_{role}": partial(new_login, f"sigilo_{role}") for role in ROLES}

    def _of_the_store(self) -> dict[str, Callable[[], str]]:
        """deploy/compose/object-store.yml's; the two keys are settings, which workers find in their folder."""
        return {
            "worker/s3_access_key_id": lambda: f"sigilo{secrets.token_hex(7)}",
            "worker/s3_secret_access_key": lambda: secrets.token_urlsafe(32),
            "object_store.json": lambda: identities(
                self._read("worker/s3_access_key_id"), self._read("worker/s3_secret_access_key")
            ),
            "object_store.key": private_key,
            "object_store.crt": lambda: certificate(self.folder / "object_store.key", "object-store"),
        }

    def _once(self, name: str, value: Callable[[], str]) -> bool:
        path = self.folder / name
        if path.exists():
            return False
        create(path, value() + "\n", FILE_MODE)
        return True

    def _read(self, name: str) -> str:
        return (self.folder / name).read_text().strip()

    def _give(self, path: Path, mode: int) -> None:
        """Only the group is given, and the mode: who owns it stays who made it."""
        with suppress(PermissionError):  # somebody else's, which a run as root leaves behind for an ordinary user
            os.chown(path, -1, self._group)
        path.chmod(mode)


def random_base64(length: int) -> str:
    return base64.b64encode(secrets.token_bytes(length)).decode()


def new_login(role: str) -> str:
    return database_url(role, secrets.token_urlsafe(32))


def database_url(login: str, password: str, database: str = DATABASE) -> str:
    return f"postgresql://{login}:{quote(password, safe='')}@{database}"


def access_list(url: str, monitor: str = "") -> str:
    """Redis' file of accounts: ours as ``url`` says, who reads figures as the exporter's file ``monitor`` says, and who
    may do nothing but see that it lives. Passwords are digests here."""
    users = ["user default off", f"user sigilo on {_digest(urlsplit(url).password or '')} {APPLICATION}", HEALTH]
    if monitor:
        [password] = json.loads(monitor).values()
        users.append(f"user monitor on {_digest(password)} {MONITOR}")
    return "\n".join(users)


def identities(access_key: str, secret_key: str) -> str:
    """SeaweedFS' file of accounts: one, that does everything with its buckets."""
    keys = [{"accessKey": access_key, "secretKey": secret_key}]
    return json.dumps({"identities": [{"name": "sigilo", "credentials": keys, "actions": ["Admin"]}]})


def _digest(password: str) -> str:
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"
