"""``sigilo backup restore``: bring one back, all of it or nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import click

from cli_arguments import hide_argument
from cli_progress import progress_of
from config_urls import at_the_primary
from embedded.installation import running_settings, superuser_url

IN_ARGUMENTS = (
    "Careful: the password in --into was to be seen in `ps`{now}, and stays in this shell's history. Leave it out, and"
    " name a file with it (--password-file), set PGPASSWORD, or name the database alone: --into sigilo_beside"
)


@click.command("restore")
@click.argument("which")
@click.option("--into", metavar="URL|NAME",
              help="The database: a URL, best without a password, whose login may make databases, or the name of one"
              " beside this installation's. Without it: this installation's own.")  # fmt: skip
@click.option("--password-file", type=click.File(encoding="utf-8"),
              help="A file with the password for --into. Without it PGPASSWORD, PGPASSFILE and ~/.pgpass are looked at,"
              " and on a terminal it is asked for.")  # fmt: skip
@click.option("--identity", type=click.File(encoding="utf-8"), help="A file with the recovery key.")
@click.option("--replace", is_flag=True, help="Take the place of a database that is not empty; it is kept beside.")
@click.option("--key", "keys", multiple=True, help="A key to trust, as `backup key` prints it, instead of our own.")
@click.option("--files", type=click.Path(path_type=Path, file_okay=False),
              help="Where files from outside the database go.")  # fmt: skip
def backup_restore(
    which: str, into: str | None, password_file: IO[str] | None, identity: IO[str] | None, replace: bool,
    keys: tuple[str, ...], files: Path | None,
) -> None:  # fmt: skip
    """Restore WHICH (an id, "latest", or a manifest's path) as the database of --into: all of it or nothing."""
    from backups.find import find_backup, trusted
    from backups.restore import restore_backup
    from backups.target import has_password, restore_target

    if into is not None and has_password(into):
        is_hidden = hide_argument(into)
        click.echo(IN_ARGUMENTS.format(now=" until this moment" if is_hidden else " and still is"), err=True)
    settings = running_settings()
    found = find_backup(settings, which, trusted(settings, keys))
    meant = found.manifest
    click.echo(f"{meant.id} of {meant.finished_at:%Y-%m-%d %H:%M}Z with {meant.rows} rows", err=True)
    if found.foreign:
        click.echo(f"{found.foreign} newer ones there were signed by others, and are not meant", err=True)
    target = restore_target(
        into, lambda: at_the_primary(superuser_url()),
        password=password_file.read().strip() if password_file is not None else None,
        ask=_ask if sys.stdin.isatty() else None,
    )  # fmt: skip
    with progress_of("Restoring") as progress:
        restored = restore_backup(
            settings, found, target, identity=identity.read() if identity is not None else None, replace=replace,
            folder=files, progress=progress, say=lambda text: click.echo(text, err=True),
        )  # fmt: skip
    for line in _next_steps(restored):
        click.echo(line, err=True)
    click.echo(f"{restored.rows} rows restored as {restored.database}")


def _ask() -> str:
    given: str = click.prompt("Password for --into", hide_input=True, err=True)
    return given


def _next_steps(restored: Any) -> list[str]:
    """What the operator must do now, in this order."""
    steps = list(restored.remarks)
    if restored.has_keys:
        steps.append(
            f"FIELD_KEY, AUDIT_SIGNING_KEY and SECRET_KEY of then are in {restored.folder}/keys.env: give them to the"
            " installation if it has others, and delete the file."
        )
    if restored.files:
        steps.append(
            f"{restored.files} files from outside the database are in {restored.folder}: move archives to"
            " AUDIT_ARCHIVES and checkpoints to where they were kept."
        )
    if restored.kept:
        steps.append(f"The database before is kept as {restored.kept}: drop it when nobody misses it.")
    steps += [
        "Run `sigilo db upgrade`, `sigilo doctor` and `sigilo audit verify`.",
        "Everybody has to sign in again; tokens, password links and emergency accesses are over: make new tokens.",
        "Accounts, roles and passwords are those of then: disable again on /users whoever left or was shut out since.",
        "What was written after the backup is not there: checkpoints kept elsewhere are ahead of the trail now. Give"
        " them a new place in CHECKPOINT_SINKS, and keep the old one (docs/disaster-recovery.md).",
    ]
    return [f"{number}. {step}" for number, step in enumerate(steps, 1)]
