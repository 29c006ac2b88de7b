"""``sigilo backup``: take, list, verify, drill, prune and restore backups."""

from __future__ import annotations

import sys
from datetime import UTC
from typing import IO, Any

import click
from psycopg.rows import dict_row

from cli_progress import progress_of
from cli_restore import backup_restore
from config import NO_DRILLS, Principal
from embedded.installation import running_settings

MIB = 1 << 20
PATIENCE = 600  # seconds for what another process makes or drills


def _worker(settings: Any) -> Any:
    from models.connection import connect

    return connect(settings.url_for(Principal.WORKER), autocommit=True)


def _drilling_settings() -> Any:
    """The settings, where drills are made: elsewhere a key made or taken for destroyed would be lost, or stay. Raises
    ClickException."""
    settings = running_settings()
    if settings.drill_keys == NO_DRILLS:
        raise click.ClickException(
            "nothing is drilled here (DRILL_KEYS is off): run this where the drills' worker is, in compose with"
            " `docker compose exec worker-backups sigilo backup …`"
        )
    return settings


@click.group()
def backup() -> None:
    """Backups that are restored to prove them."""


backup.add_command(backup_restore)


@backup.command("create")
@click.option("--no-drill", is_flag=True, help="Leave the drill to the worker; the backup does not count before it.")
def backup_create(no_drill: bool) -> None:
    """Take a backup now, drill it, and delete what is kept no longer."""
    from backups import job
    from backups.create import take_backup
    from backups.keys import NO_RECOVERY
    from backups.run import work_off

    settings = _drilling_settings()
    if not settings.backup_age_recipient:
        click.echo(f"Careful: {NO_RECOVERY}", err=True)
    with job.exclusive(settings, patience=PATIENCE) as connection:
        job.bury_dead(connection)
        job.request(connection, "COMMAND")
        claimed = job.claim(connection, settings.backup_store)
        if claimed is None:
            raise click.ClickException("somebody else has begun it meanwhile: see `sigilo backup list`")
        with progress_of("Backing up") as progress:
            manifest = take_backup(settings, connection, claimed, progress)
        click.echo(
            f"{manifest.id}: {sum(manifest.tables.values())} rows of {len(manifest.tables)} tables,"
            f" {manifest.size / MIB:.1f} MiB stored in {manifest.seconds:.1f} s"
        )
        if not no_drill:
            with progress_of("Drilling") as progress:
                done = work_off(settings, connection, progress)
            _say_drilled(connection, manifest.id)
            for pruned in done.pruned:
                click.echo(f"{pruned}: deleted, as retention has it", err=True)


def _say_drilled(connection: Any, backup_id: Any) -> None:
    row = connection.execute(
        "SELECT state, failure, restore_seconds, checks, trail_problems FROM backup_drills"
        " WHERE backup_id = %s ORDER BY started_at DESC LIMIT 1",
        [backup_id],
    ).fetchone()
    if row is None or row[0] != "PASSED":
        raise click.ClickException(f"the drill did not pass: {row[1] if row else 'there was none'}")
    checks = ", ".join(f"{count} {name}" for name, count in row[3].items())
    click.echo(f"{backup_id}: drill passed, restored in {row[2]:.1f} s; {checks}")
    if row[4]:
        click.echo(f"{_trail_damaged(row[4])} The backup is good: it is what the database was.", err=True)


def _trail_damaged(places: int) -> str:
    return f"The audit trail is not intact in {places} places, here as in the database: run `sigilo audit verify`."


@backup.command("list")
def backup_list() -> None:
    """List backups, newest first, and what became of each."""
    settings = running_settings()
    with _worker(settings) as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT b.*, d.restore_seconds, d.failure AS drill_failure, d.trail_problems FROM backups b"
            " LEFT JOIN LATERAL (SELECT restore_seconds, failure, trail_problems FROM backup_drills"
            " WHERE backup_id = b.id ORDER BY started_at DESC LIMIT 1) d ON TRUE ORDER BY b.created_at DESC"
        ).fetchall()
    for row in rows:
        moment = (row["finished_at"] or row["started_at"] or row["created_at"]).astimezone(UTC)
        state = "PRUNED" if row["pruned_at"] and row["state"] != "FAILED" else row["state"]
        size = f"{row['size'] / MIB:.1f} MiB" if row["size"] is not None else "-"
        what = row["failure"] or row["drill_failure"] or ""
        if row["state"] == "VERIFIED":
            what = f"restored in {row['restore_seconds'] or 0:.1f} s"
            if row["trail_problems"]:
                what += f". {_trail_damaged(row['trail_problems'])}"
        click.echo(f"{row['id']}  {moment:%Y-%m-%d %H:%M}Z  {state:8}  {size:>10}  {what}".rstrip())
    click.echo(f"{len(rows)} backups", err=True)


@backup.command("verify")
@click.argument("which")
@click.option("--key", "keys", multiple=True, help="A key to trust, as `backup key` prints it, instead of our own.")
def backup_verify(which: str, keys: tuple[str, ...]) -> None:
    """Read every stored byte of WHICH (an id, "latest", or a manifest's path) and compare it with what was signed."""
    from backups.find import find_backup, trusted
    from backups.verify import verify_parts

    settings = running_settings()
    found = find_backup(settings, which, trusted(settings, keys))
    with progress_of("Verifying") as progress:
        verify_parts(found.storage, found.manifest, progress)
    parts, size = len(found.manifest.parts), found.manifest.size
    click.echo(f"{found.manifest.id}: {parts} parts, {size} bytes, as they were signed")


@backup.command("drill")
@click.argument("which", default="latest")
@click.option("--identity", type=click.File(encoding="utf-8"), help="A file with the recovery key, for an old backup.")
def backup_drill(which: str, identity: IO[str] | None) -> None:
    """Restore WHICH into a scratch database, check it, measure, and drop it."""
    from backups import job
    from backups.drill import run_drill
    from backups.find import find_backup, trusted

    settings = _drilling_settings()
    found = find_backup(settings, which, trusted(settings, ()))
    with job.exclusive(settings, patience=PATIENCE) as connection:
        job.bury_dead(connection)
        with progress_of("Drilling") as progress:
            opener = identity.read() if identity is not None else None
            run_drill(settings, connection, found.manifest.id, progress, identity=opener)
        _say_drilled(connection, found.manifest.id)


@backup.command("prune")
def backup_prune() -> None:
    """Delete what retention keeps no longer: never the newest that was verified."""
    from backups import job
    from backups.prune import prune, remove_dead

    settings = running_settings()
    with job.exclusive(settings, patience=PATIENCE) as connection:
        job.bury_dead(connection)
        remove_dead(settings, connection)
        pruned = prune(settings, connection)
    for backup_id in pruned.gone:
        click.echo(str(backup_id))
    click.echo(f"{len(pruned.gone)} backups deleted", err=True)
    if pruned.failure:
        raise click.ClickException(pruned.failure)


@backup.command("key")
def backup_key() -> None:
    """Print the public key that manifests are verified with. Keep it beside the recovery key."""
    from backups.manifest import manifest_signer

    click.echo(str(manifest_signer(running_settings()).verifier))


@backup.command("keygen")
def backup_keygen() -> None:
    """Make a recovery key: NOT on a server. Prints its private half, and on standard error the BACKUP_AGE_RECIPIENT."""
    import pyrage

    made = pyrage.x25519.Identity.generate()
    click.echo(f"# public key: {made.to_public()}\n{made}")
    if not sys.stdout.isatty():
        click.echo(f"BACKUP_AGE_RECIPIENT={made.to_public()}", err=True)


@backup.command("rotate")
def backup_rotate() -> None:
    """Make a new drill key. The one before goes when no drill waits for it."""
    from backups import job
    from backups.keys import destroy_retired, rotate

    settings = _drilling_settings()
    with job.exclusive(settings, patience=PATIENCE) as connection:
        click.echo(rotate(connection, settings))
        click.echo(f"{destroy_retired(connection, settings)} private halves destroyed", err=True)
