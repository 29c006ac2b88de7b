"""``sigilo keys``: make keys, and change the one that seals CPF, CNS and passport while people work."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable

import click

from cli_progress import progress_of
from config import ConfigurationError, Principal, Settings, key_number
from embedded.errors import EmbeddedError
from embedded.installation import running_settings, session_as

NAMED = 20  # ids that are spelled out; more are counted


@click.group()
def keys() -> None:
    """The keys of identifiers at rest (docs/secrets.md)."""


@keys.command("make")
def keys_make() -> None:
    """Print a new key for FIELD_KEY, AUDIT_SIGNING_KEY or SECRET_KEY, told apart from the field keys there are."""
    from services.field_encryption import field_cipher
    from services.field_keys import count_sealed

    used: frozenset[int] = frozenset()
    try:
        settings = running_settings()
        used = field_cipher(settings).numbers
        with session_as(settings, Principal.MIGRATOR) as session:
            used |= count_sealed(session).numbers
    except (ConfigurationError, EmbeddedError):  # before the first start there is nothing to be told apart from
        pass
    key = os.urandom(32)
    while key_number(key) in used:
        key = os.urandom(32)
    click.echo(base64.b64encode(key).decode())


@keys.command("status")
def keys_status() -> None:
    """Say which field keys there are and how many rows need each. Exit code 1 while a former one is needed."""
    from services.field_encryption import field_cipher
    from services.field_keys import count_sealed

    settings = running_settings()
    cipher = field_cipher(settings)
    with session_as(settings, Principal.MIGRATOR) as session:
        rows = count_sealed(session)
    for number in sorted(cipher.numbers | rows.numbers):
        state = "seals" if number == cipher.current else "opens" if number in cipher.numbers else "NOT CONFIGURED"
        counts = ", ".join(f"{counted[number]} {kind}" for kind, counted in rows.by_kind.items())
        click.echo(f"key {number} ({state}): {counts}")
    if rows.unsealed:
        click.echo(f"accounts whose CPF is indexed under a key that is not noted: {rows.unsealed}")
    if rows.under(rows.numbers - {cipher.current}) or (rows.unsealed and len(cipher.numbers) > 1):
        raise click.exceptions.Exit(1)


@keys.command("reencrypt")
def keys_reencrypt() -> None:
    """Seal everything under FIELD_KEY and index it anew, while people work. May be killed and begun again."""
    settings = running_settings()
    with progress_of("Sealing") as progress:
        _reencrypt(settings, progress)


def _reencrypt(settings: Settings, progress: Callable[[int, int | None], None]) -> None:
    from models.engine import Databases
    from services.field_encryption import field_cipher
    from services.field_key_change import change_field_key

    databases = Databases({Principal.MIGRATOR.value: settings.url_for(Principal.MIGRATOR)}, pool_size=1)
    try:
        changed = change_field_key(databases, field_cipher(settings), progress=progress)
    finally:
        databases.dispose()
    click.echo(f"{changed.done} rows sealed under the current key")
    problems = []
    for ids, what in (
        (changed.clashing, "have a CPF or CNS that another one has: correct one of them"),
        (changed.unreadable, "don't open with any configured key"),
    ):
        if ids:
            problems.append(f"{len(ids)} rows {what} ({', '.join(map(str, ids[:NAMED]))})")
    if changed.left:
        problems.append(f"{changed.left} rows need a former key: keep it in FIELD_KEY_PREVIOUS and run this again")
    if changed.unsealed:
        problems.append(
            f"{changed.unsealed} accounts have a CPF that was indexed before numbers were kept:"
            " a former key still finds them; keep it in FIELD_KEY_PREVIOUS"
        )
    if problems:
        raise click.ClickException("; ".join(problems))
    click.echo("Nothing needs a former key: take it out of FIELD_KEY_PREVIOUS.", err=True)
