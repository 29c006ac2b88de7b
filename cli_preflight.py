"""``sigilo preflight``: the checklist of a deployment, checked."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import click

from cli_smoke import authority_option

PHASES = ("before", "during", "after")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("phases", nargs=-1, type=click.Choice(PHASES))
@click.option("--url", default="", help="The address people use; PUBLIC_URL, or this machine, when not given.")
@click.option("--host-report", type=FILE, metavar="FILE", help="What `deploy/host --check` printed on the host.")
@click.option("--load-result", type=FILE, metavar="FILE", help="What `make load` wrote.")
@click.option("--log", type=FILE, metavar="FILE", help="The processes' output since the release was switched.")
@click.option("--mail-to", default="", metavar="ADDRESS", help="Whom a test of mail alerts is sent to.")
@click.option("--credentials", type=click.File(encoding="utf-8"), metavar="FILE",
              help="A file as demo-credentials.json is, to sign in and out with.")  # fmt: skip
@click.option("--as", "who", default="doctor", show_default=True, help="With --credentials: as whom.")
@click.option("--http-url", default="", help="The address without TLS, if it is not that of the other one.")
@click.option("--metrics-url", default="", help="Where the web server shows metrics, if not below the address.")
@click.option("--prometheus", default="", metavar="URL", help="Prometheus, to ask whether an alert fires.")
@click.option("--since", type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]), metavar="TIME",
              help="When the release was switched, in UTC (2026-11-26T14:00); an hour ago when not given.")  # fmt: skip
@authority_option
@click.option("--strict", is_flag=True, help="What can't be seen from here fails, too.")
@click.option("--json", "report", type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="FILE",
              help="Write the report there, too, for programs.")  # fmt: skip
def preflight(
    phases: Sequence[str],
    url: str,
    host_report: Path | None,
    load_result: Path | None,
    log: Path | None,
    mail_to: str,
    credentials: IO[str] | None,
    who: str,
    http_url: str,
    metrics_url: str,
    prometheus: str,
    since: datetime | None,
    authority: str,
    strict: bool,
    report: Path | None,
) -> None:
    """Go through the checklist before, during and (an hour) after a deployment; all three without PHASES.

    Each line is PASS, FAIL or NOT HERE, with the evidence or what to do. What stays in the database because of the run
    is named at the end. The exit code is 0 only when nothing failed, and, with --strict, everything was seen.
    """
    from embedded.preflight.check import Phase, State
    from embedded.preflight.checklist import run
    from embedded.preflight.ground import Given, Ground

    if url and not url.startswith(("http://", "https://")):
        raise click.UsageError("--url begins with https://, or http:// on this machine")
    login = {"email": "", "password": ""}
    if credentials is not None:
        logins = json.load(credentials)
        if who not in logins:
            raise click.UsageError(f"the file has no {who}; it has {', '.join(sorted(logins))}")
        login = {name: logins[who][name] for name in login}
    switched = datetime.now(UTC) - timedelta(hours=1) if since is None else since.replace(tzinfo=UTC)
    given = Given(
        host_report=host_report, load_result=load_result, log=log, mail_to=mail_to, http_url=http_url,
        metrics_url=metrics_url, prometheus_url=prometheus, email=login["email"], password=login["password"],
        since=switched, authority=authority,
    )  # fmt: skip
    ground = Ground(url, os.environ, given)
    outcomes = []
    for outcome in run(ground, [Phase(each) for each in phases or PHASES]):
        click.echo(f"{outcome.state:8}  {outcome.phase:6} [{outcome.row}] {outcome.name}: {outcome.text}")
        outcomes.append(outcome)
    for each in ground.left:
        click.echo(f"Left behind: {each}")
    counts = {state: sum(outcome.state is state for outcome in outcomes) for state in State}
    if report is not None:
        write_report(report, ground.url, outcomes, ground.left)
    click.echo(
        f"{len(outcomes)} checks of {ground.url}: {counts[State.PASS]} passed, {counts[State.FAIL]} failed,"
        f" {counts[State.NOT_HERE]} can't be seen from here"
    )
    if counts[State.FAIL] or (strict and counts[State.NOT_HERE]):
        raise click.exceptions.Exit(1)


def write_report(path: Path, url: str, outcomes: Sequence[object], left: Sequence[str]) -> None:
    """The same for programs: ``{product, version, url, at, failed, rows: [{phase, row, name, state, text}], left}``."""
    from config import PRODUCT_NAME, PRODUCT_VERSION

    rows = [outcome.shown() for outcome in outcomes]  # type: ignore[attr-defined]
    said = {
        "product": PRODUCT_NAME,
        "version": PRODUCT_VERSION,
        "url": url,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "failed": sum(row["state"] == "FAIL" for row in rows),
        "rows": rows,
        "left": list(left),
    }
    path.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
