"""Where settings come from besides plain variables: named files, mounted secrets, and stores of secrets.

A file's secret is read anew when somebody asks (``read_anew``): a password may change under a running process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

# Docker's place, and one below it for Kubernetes, which keeps a service account's token in the first.
SECRETS_DIRECTORIES = ("/run/secrets", "/run/secrets/sigilo")
# No layer is imported here (config stands below them all): the package of stores is, when a reference names one.
STORES_PACKAGE = "integrations.secret_stores"
REFERENCES = ("aws-sm://", "gcp-sm://", "vault://")
STORE_REST_SECONDS = 10.0  # between two questions for one setting of a running process


class ConfigurationError(Exception):
    """The settings are incomplete or contradictory; the text says which and what to do."""


def secret_files(name: str, environ: Mapping[str, str]) -> list[Path]:
    """Where a file for the setting ``name`` (lower case) may be: the one that is named, else the mounted ones."""
    named = environ.get(f"{name.upper()}_FILE")
    if named:
        return [Path(named)]
    return [Path(directory) / file for directory in SECRETS_DIRECTORIES for file in (name, name.upper())]


def read_secret_file(name: str, environ: Mapping[str, str]) -> str | None:
    """The setting's text from its file, without white space around it; None where there is no file.

    Raises ConfigurationError, which says what is wrong with which file and what to do.
    """
    is_named = bool(environ.get(f"{name.upper()}_FILE"))
    for path in secret_files(name, environ):
        try:
            text = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            if is_named:
                raise ConfigurationError(
                    f"{name.upper()}_FILE names {path}, which does not exist: create it, or correct the path"
                ) from None
            continue
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be read ({error.strerror}), so {name.upper()} is not known:"
                f" make it a file that account {os.geteuid()} reads"
            ) from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path} is no text: write {name.upper()} into it in UTF-8") from None
        if not text:
            raise ConfigurationError(f"{path} is empty: write {name.upper()} into it, or take the file away")
        return text
    return None


class NamedFiles(PydanticBaseSettingsSource):
    """``NAME_FILE=/path`` gives NAME its file's content, and /run/secrets/<name> does so without naming it."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return read_secret_file(field_name, os.environ), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: read_secret_file(name, os.environ) for name in self.settings_cls.model_fields}
        return {name: value for name, value in found.items() if value is not None}


class References(PydanticBaseSettingsSource):
    """What ``sources``, the first of which wins, name in stores of secrets. One secret is fetched once."""

    def __init__(self, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._sources = sources

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for source in reversed(self._sources):
            found |= source()
        known: dict[str, str] = {}
        return {
            name: _resolved(name, value, known)
            for name, value in found.items()
            if isinstance(value, str) and value.startswith(REFERENCES)
        }


def read_anew(name: str) -> str | None:
    """What the setting ``name`` is by now, when it comes from a file or a store; else None.

    A store is asked at most every few seconds. Raises ConfigurationError.
    """
    given = os.environ.get(name.upper()) or read_secret_file(name, os.environ)
    if given is None or not given.startswith(REFERENCES):
        return None if os.environ.get(name.upper()) else given
    last, value = _asked.get(name, (0.0, None))
    now = time.monotonic()
    if value is None or now - last >= STORE_REST_SECONDS:
        _asked[name] = (now, value)  # whoever comes meanwhile gets what there was
        value = _resolved(name, given, {})
        _asked[name] = (now, value)
    return value


_asked: dict[str, tuple[float, str | None]] = {}


def _resolved(name: str, reference: str, known: dict[str, str]) -> str:
    stores = import_module(STORES_PACKAGE)
    try:
        return str(stores.read_reference(reference, os.environ, known))
    except stores.StoreFailed as error:
        raise ConfigurationError(f"{name.upper()}: {error}") from None

