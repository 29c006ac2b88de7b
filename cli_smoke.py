"""``sigilo smoke``: look at a deployment from outside. Nothing of the installation's settings is read."""

from __future__ import annotations

import json
import ssl
from typing import IO

import click


def _certificates(_: click.Context, __: click.Parameter, file: IO[str] | None) -> str:
    from embedded.smoke import trusting

    if file is None:
        return ""
    text = file.read()
    try:
        trusting(text or "nothing")
    except ssl.SSLError:
        raise click.BadParameter("it has no certificate in PEM") from None
    return text


# Of `sigilo preflight`, too: gives the certificates as text, empty where none were handed over.
authority_option = click.option(
    "--authority", type=click.File(encoding="ascii", errors="ignore"), metavar="FILE", callback=_certificates,
    help="Certificates to trust besides the public authorities', in PEM; - reads them from standard input.",
)  # fmt: skip



@click.command()
@click.argument("url")
@click.option("--token-file", type=click.File(encoding="utf-8"), help="A file with an API token, to be tried too.")
@click.option("--credentials", type=click.File(encoding="utf-8"), metavar="FILE",
              help="A file as demo-credentials.json is, to sign in and out with.")  # fmt: skip
@click.option("--as", "who", default="doctor", show_default=True, help="With --credentials: as whom.")
@click.option("--expect", default="", metavar="VERSION", help="The version that should be there; by default this one.")
@authority_option
def smoke(
    url: str, token_file: IO[str] | None, credentials: IO[str] | None, who: str, expect: str, authority: str
) -> None:
    """Check the deployment at URL after a release: each line says what is well or what to do.

    Secrets come in files, for every account of a machine sees the words of a command.
    """
    from embedded.smoke import examine_deployment

    if not url.startswith(("http://", "https://")):
        raise click.UsageError("URL begins with https://, or http:// on this machine")
    given = {
        "version": expect,
        "authority": authority,
        "token": token_file.read().strip() if token_file is not None else "",
    }
    if credentials is not None:
        logins = json.load(credentials)
        if who not in logins:
            raise click.UsageError(f"the file has no {who}; it has {', '.join(sorted(logins))}")
        given |= {"email": logins[who]["email"], "password": logins[who]["password"]}
    failed = checked = 0
    for outcome in examine_deployment(url, **given):
        click.echo(f"{'pass' if outcome.is_well else 'FAIL'}  {outcome.name}: {outcome.text}")
        failed += not outcome.is_well
        checked += 1
    click.echo(f"{checked} checks, {failed} failed")
    if failed:
        raise click.exceptions.Exit(1)
