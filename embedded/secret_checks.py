"""What ``sigilo doctor`` looks at in secrets: weak and reused ones, who else reads their files, keys nobody needs.

Each check gives sentences that say what to do, none when all is well. A sentence names a setting, never its value.
"""

from __future__ import annotations

import stat
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from config import HOW_TO_MAKE, HOW_TO_MAKE_KEY, PLACEHOLDER, Principal, Settings, decode_key, key_number
from config_sources import REFERENCES, secret_files
from embedded.installation import session_as
from services.field_encryption import field_cipher
from services.field_keys import SealedRows, count_sealed, keys_in_use
from services.session_start import ABSOLUTE_HOURS_MAX

FEWEST_SIGNS = 12  # different characters; 32 random bytes in base64 have fewer once in 10¹⁰
SHORTEST_PASSWORD = 16
KEYS = ("secret_key", "field_key", "audit_signing_key")
URLS = (
    "database_url", *(f"database_url_{principal.value}" for principal in Principal),
    "drill_database_url", "redis_url", "cache_url", "smtp_url",
)  # fmt: skip


def weak_secrets(settings: Settings) -> Iterator[str]:
    """Keys that nobody drew at random; in production passwords too, and whatever is short."""
    for purpose, value in _secrets(settings):
        is_key = purpose.lower().startswith(KEYS)
        if not is_key and not settings.is_production:
            continue
        if PLACEHOLDER.search(value) or len(set(value)) < FEWEST_SIGNS or _repeats(value):
            yield f"{purpose} looks like a placeholder: {HOW_TO_MAKE_KEY if is_key else HOW_TO_MAKE}"
        elif len(value) < SHORTEST_PASSWORD:
            yield f"{purpose} is shorter than {SHORTEST_PASSWORD} characters: {HOW_TO_MAKE}"


def reused_secrets(settings: Settings) -> Iterator[str]:
    """One value for two purposes: whoever learns it in one place has the other too."""
    purposes: defaultdict[str, set[str]] = defaultdict(set)
    for purpose, value in _secrets(settings):
        purposes[value].add(purpose)
    for same in purposes.values():
        if len(same) > 1:
            yield f"{' and '.join(sorted(same))} are the same: make one of its own for each"


def open_files(environ: Mapping[str, str]) -> Iterator[str]:
    """Files with secrets that every account of this machine reads."""
    for name in _secret_settings():
        for path in secret_files(name, environ):
            try:
                mode = stat.S_IMODE(path.stat().st_mode)
            except OSError:
                continue  # the settings say so where it matters
            if mode & stat.S_IRWXO:
                yield f"{path} is open to other accounts: chmod o= {path} (defaultMode: 0440 in Kubernetes)"


def in_the_environment(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Secrets in variables, in production: children and diagnostics carry an environment on."""
    if not settings.is_production:
        return
    for name in _secret_settings():
        value = environ.get(name.upper(), "")
        harmless = value.startswith(REFERENCES) or (name in URLS and not urlsplit(value).password)
        if value and not harmless:
            yield f"{name.upper()} stands in the environment: put it into a file and name that with {name.upper()}_FILE"


def former_keys(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Field keys that rows still need or that nothing needs any more, and a former session key that outlived its use.

    Raises psycopg.Error. Reads everything that is sealed while a former field key is named.
    """
    rows = _sealed(settings)
    cipher = field_cipher(settings)
    missing = rows.numbers - cipher.numbers
    if missing:
        yield (
            f"{rows.under(missing)} rows are sealed under a field key that is not configured ({_listed(missing)}):"
            " put it back into FIELD_KEY_PREVIOUS"
        )
    former = {key_number(decode_key(key)) for key in settings.former_field_keys}
    needed = {number for number in former if rows.under([number])}
    if needed:
        yield f"{rows.under(needed)} rows need a former field key ({_listed(needed)}): run `sigilo keys reencrypt`"
    if former and rows.unsealed:
        yield f"{rows.unsealed} accounts have a CPF that only a former field key may find: keep FIELD_KEY_PREVIOUS"
    elif former - needed:
        yield (
            f"nothing is sealed under a key in FIELD_KEY_PREVIOUS ({_listed(former - needed)}):"
            " take it out, unless it is the next one"
        )
    if settings.former_secret_keys and _age_of("secret_key", environ) > timedelta(hours=ABSOLUTE_HOURS_MAX):
        yield (
            f"SECRET_KEY has been in its file for more than {ABSOLUTE_HOURS_MAX} hours, so no open page is older:"
            " empty SECRET_KEY_PREVIOUS, unless it holds the next one"
        )


def _sealed(settings: Settings) -> SealedRows:
    if not settings.former_field_keys and keys_in_use(settings, Principal.MIGRATOR) <= field_cipher(settings).numbers:
        return SealedRows()
    with session_as(settings, Principal.MIGRATOR) as session:
        return count_sealed(session)


def _age_of(name: str, environ: Mapping[str, str]) -> timedelta:
    """How long the file has said what it says; nothing for what is in no file."""
    times = [path.stat().st_mtime for path in secret_files(name, environ) if path.is_file()]
    is_a_file = times and not environ.get(name.upper())
    return timedelta(seconds=max(0.0, time.time() - times[0])) if is_a_file else timedelta()


def _secret_settings() -> list[str]:
    return [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]


def _secrets(settings: Settings) -> Iterator[tuple[str, str]]:
    """What each secret is for and its value. Passwords of one login are one secret, in however many URLs."""
    for name in (*KEYS, "s3_secret_access_key", "metrics_token"):
        value = getattr(settings, name).get_secret_value()
        if value:
            yield name.upper(), value
    for name, former in (
        ("SECRET_KEY_PREVIOUS", settings.former_secret_keys), ("FIELD_KEY_PREVIOUS", settings.former_field_keys)
    ):  # fmt: skip
        yield from ((name, value) for value in former)
    for name in URLS:
        parts = urlsplit(getattr(settings, name).get_secret_value())
        if parts.password:
            whose = f" of {unquote(parts.username)}" if parts.username and name.startswith("database") else ""
            yield f"the password{whose} in {'DATABASE_URL' if whose else name.upper()}", unquote(parts.password)


def _repeats(value: str) -> bool:
    """Whether it is one short piece over and over, which has many characters and says little."""
    return value in (value + value)[1:-1]


def _listed(numbers: set[int] | frozenset[int]) -> str:
    return f"number {', '.join(map(str, sorted(numbers)))}"
