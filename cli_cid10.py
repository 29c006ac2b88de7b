"""``sigilo cid10``: the table of diagnosis codes, which a clinic brings from DATASUS."""

from __future__ import annotations

from pathlib import Path

import click

from cli_progress import progress_of
from config import Principal
from embedded.installation import running_settings, session_as


@click.group()
def cid10() -> None:
    """The table of CID-10 codes."""


@cid10.command("import")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--accept-counts", is_flag=True, help="Take a table that has not as many rows as DATASUS's.")
def cid10_import(folder: Path, accept_counts: bool) -> None:
    """Put the table in FOLDER in force: CID-10-CATEGORIAS.CSV and CID-10-SUBCATEGORIAS.CSV as DATASUS gives them.

    All of it or nothing; the one before stays until then. Running it again changes nothing.
    """
    from services.cid10_file import TableRefused, read_table
    from services.cid10_import import import_table

    settings = running_settings()
    try:
        table = read_table(folder)
    except TableRefused as error:
        raise click.ClickException(str(error)) from None
    if table.other_counts and not accept_counts:
        if table.is_nearly_whole:
            raise click.ClickException(
                f"{table.other_counts}: rows are missing, or it is another release. Bring the files as DATASUS gives"
                " them, or add --accept-counts. Nothing was changed."
            )
        click.echo(f"Warning: {table.other_counts}: this is a part of the table.", err=True)
    with progress_of("Importing") as progress, session_as(settings, Principal.MIGRATOR) as session:
        imported = import_table(session, table, progress=progress)
    click.echo(str(imported))
