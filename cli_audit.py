"""``sigilo audit``: verify the trail, take proofs of it elsewhere, and check them there."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import click

from cli_progress import progress_of
from config import Principal
from embedded.installation import running_settings, session_as


@click.group()
def audit() -> None:
    """The trail of who did what, and the proof that it was not edited."""


@audit.command("verify")
@click.option("--checkpoint", type=click.Path(exists=True, path_type=Path),
              help="A checkpoint kept elsewhere, or a folder of them: finds a cut tail too.")  # fmt: skip
@click.option("--key", "keys", multiple=True,
              help="A verifier key to trust; by default AUDIT_SIGNING_KEY's own, and AUDIT_FORMER_KEYS.")  # fmt: skip
@click.option("--export", "exported", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Verify a file that `audit export` wrote, or an archive, with no servers: --key says whom to trust. "
              "Several follow from one another.")  # fmt: skip
@click.option("--identity", type=click.File(encoding="utf-8"),
              help="A file with the age identity that archives were encrypted to.")  # fmt: skip
def audit_verify(
    checkpoint: Path | None, keys: tuple[str, ...], exported: tuple[Path, ...], identity: IO[str] | None
) -> None:
    """Recompute the whole chain. Exit code 1 when anything was edited, deleted or moved."""
    from services.audit_verify import verify, verify_files

    with progress_of("Verifying") as progress:
        if exported:
            opener = identity.read() if identity is not None else None
            report = verify_files(exported, keys, checkpoint=checkpoint, identity=opener, progress=progress)
        else:
            report = verify(running_settings(), checkpoint=checkpoint, keys=keys, progress=progress)
    click.echo(str(report))
    if not report.is_intact:
        raise click.exceptions.Exit(1)


@audit.command("checkpoint")
def audit_checkpoint() -> None:
    """Print a signed statement of the trail's head. Keep it on another machine."""
    from services.audit_checkpoint import signer_of, write_checkpoint

    settings = running_settings()
    with session_as(settings, Principal.WORKER) as session:
        note = write_checkpoint(session, signer_of(settings))
    click.echo(note, nl=False)


@audit.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def audit_export(file: Path) -> None:
    """Write the whole trail to FILE (packed where its name ends in .gz), for `audit verify --export` anywhere."""
    from services.audit_file import write_file

    settings = running_settings()
    with progress_of("Exporting") as progress:
        count = write_file(settings, file, progress=progress)
    click.echo(f"{count} events written to {file}")


@audit.command("prove")
@click.argument("event")
def audit_prove(event: str) -> None:
    """Print the proof that EVENT (its id or sequence) is in the trail that was signed, for `audit check`."""
    from services.audit_prove import prove

    click.echo(prove(running_settings(), event), nl=False)


@audit.command("check")
@click.argument("proof", type=click.File(encoding="utf-8"))
@click.option("--key", "keys", multiple=True, required=True, help="A verifier key to trust, as `audit key` prints it.")
def audit_check(proof: IO[str], keys: tuple[str, ...]) -> None:
    """Check a PROOF of `audit prove` (- reads standard input) with the public key alone, and print its event."""
    from services.audit_checkpoint import trusted_keys
    from services.audit_prove import check

    proven = check(proof.read(), trusted_keys(keys))
    click.echo(proven.event.decode())
    click.echo(
        f"Event {proven.sequence} of the {proven.checkpoint.sequence} that {proven.checkpoint.origin} signed.", err=True
    )


@audit.command("receipt")
@click.argument("receipt", type=click.File(encoding="utf-8"))
@click.option("--key", "keys", multiple=True, required=True, help="A verifier key to trust, as `audit key` prints it.")
def audit_receipt(receipt: IO[str], keys: tuple[str, ...]) -> None:
    """Check a patient's RECEIPT of who saw their record with the public key alone, and print what it says."""
    from services.access_receipt import read_receipt
    from services.audit_checkpoint import trusted_keys

    text, is_in_use = read_receipt(receipt.read(), trusted_keys(keys))
    click.echo(text, nl=False)
    if not is_in_use:
        click.echo("Signed with a key that is no longer in use: compare it with `sigilo audit prove NUMBER`.", err=True)


@audit.command("archives")
def audit_archives() -> None:
    """List the archives of what left the database, and read each to see that it is there and unchanged."""
    from services.audit_archive_list import check_archives

    lost = 0
    for line, is_there in check_archives(running_settings()):
        click.echo(line)
        lost += not is_there
    if lost:
        raise click.ClickException(f"{lost} archives are missing or changed: bring them back from a copy.")


@audit.command("key")
@click.option("--last", is_flag=True,
              help="Each key, former ones too, with the last event that it signed: as AUDIT_FORMER_KEYS takes those "
              "that were retired.")  # fmt: skip
def audit_key(last: bool) -> None:
    """Print the public key that checkpoints are verified with. Keep it beside them."""
    from services.audit_checkpoint import public_key
    from services.audit_keys import keys_with_last

    settings = running_settings()
    for line in keys_with_last(settings) if last else [public_key(settings)]:
        click.echo(line)
