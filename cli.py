"""The ``sigilo`` command. Each command reads its arguments, calls a service and says what happened.

Standard output carries the result alone; everything else, errors in one line included, goes to standard
error. The exit code is 0 only when the thing is done.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

from loading import loading

with loading():
    import click

    from cli_accounts import token, user
    from cli_ai import ai
    from cli_ai_evaluate import evaluate
    from cli_audit import audit
    from cli_backup import backup
    from cli_cid10 import cid10
    from cli_keys import keys
    from cli_preflight import preflight
    from cli_progress import progress_of
    from cli_smoke import smoke
    from cli_tamper import tamper
    from config import PRODUCT_NAME, PRODUCT_VERSION, ConfigurationError, Principal
    from embedded.errors import EmbeddedError
    from embedded.home import Home
    from embedded.installation import running_settings, superuser_url

URL_ROLES = ("superuser", *(principal.value for principal in Principal))


class SigiloCommands(click.Group):
    """Turns whatever goes wrong into one line that says what to do, and an exit code that is not 0."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except Exception as error:  # noqa: BLE001  (the operator gets a line, the stack on request)
            if os.environ.get("SIGILO_TRACEBACK"):
                traceback.print_exc()
            raise click.ClickException(one_line(error)) from None


def one_line(error: Exception) -> str:  # noqa: PLR0911  (a table of cases)
    """What an operator should read for ``error``: no stack, no statement, no value of a patient."""
    import psycopg
    import redis
    import sqlalchemy.exc

    from integrations.language_model import LanguageModelError
    from services.errors import Invalid, ServiceError
    from services.import_sources import SourceMissing

    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    if isinstance(cause, Invalid) and cause.errors:
        return "; ".join(f"{item.pointer.strip('/')}: {item.message}" for item in cause.errors)
    if isinstance(cause, ConfigurationError | EmbeddedError | LanguageModelError | ServiceError | SourceMissing):
        return str(cause)
    if isinstance(cause, psycopg.OperationalError):
        reason = (str(cause).strip().splitlines() or ["no answer"])[-1]
        return f"the database cannot be reached ({reason.strip()}): check DATABASE_URL or start `make run`"
    if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return "the database has an older schema than this program: run `sigilo db upgrade`"
    if isinstance(cause, redis.exceptions.ConnectionError):
        return "Redis cannot be reached: check REDIS_URL or start `make run`"
    if isinstance(cause, OSError) and cause.filename:
        return f"{cause.filename}: {cause.strerror}"
    return f"unexpected {type(cause).__name__}: repeat with SIGILO_TRACEBACK=1 to see where, and report it"


@click.group(cls=SigiloCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(PRODUCT_VERSION, prog_name=PRODUCT_NAME)
def main() -> None:
    """Sigilo: medical records that stay confidential, and can prove it."""


main.add_command(user)
main.add_command(token)
main.add_command(audit)
main.add_command(backup)
main.add_command(keys)
main.add_command(ai)
ai.add_command(evaluate)
main.add_command(cid10)
main.add_command(smoke)
main.add_command(preflight)


# -- processes ---------------------------------------------------------------------------------------------


@main.command()
def run() -> None:
    """Run everything here, embedded servers included, until Ctrl-C."""
    from embedded.supervisor import Supervisor, follow_parent

    if os.environ.get("SIGILO_STOP_WITH_PARENT"):
        follow_parent()
    Supervisor(Home.of(os.environ), port=port_of(os.environ.get("PORT", "8000")), say=click.echo).run()


def port_of(text: str) -> int:
    """The port number in ``text``. Raises ConfigurationError."""
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise ConfigurationError("PORT must be a number from 1 to 65535, such as PORT=8000")
    return int(text)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port; PORT when not given.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Processes.")
def web(host: str, port: int | None, workers: int) -> None:
    """Serve pages and the JSON API."""
    from embedded.serving import become, metrics_environment, web_command
    from services.field_keys import refuse_dropped_keys
    from web.static_publish import publish_static

    settings = running_settings()
    refuse_dropped_keys(settings, Principal.STAFF)
    if settings.static_folder:
        publish_static(Path(settings.static_folder))
    port = port or settings.port
    # A folder per port: two releases may serve side by side while one takes over from the other.
    environment = metrics_environment(os.environ, settings.sigilo_home / "metrics" / str(port))
    environment["WEB_WORKERS"] = str(workers)  # they share each quota while Redis is away
    command = web_command(host=host, port=port, workers=workers, drain=settings.drain_seconds)
    become(command, environment)


@main.command()
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 64), help="Task processes.")
@click.option("--queue", "queues", multiple=True,
              type=click.Choice(["audit", "default", "mail", "access", "inference", "backups"]),
              help="A queue to serve; all by default. Give audit a worker of its own, and mail and access "
              "another.")  # fmt: skip
def worker(processes: int, queues: tuple[str, ...]) -> None:
    """Carry out background work."""
    from embedded.serving import become, worker_command, worker_environment
    from services.field_keys import refuse_dropped_keys

    settings = running_settings()
    refuse_dropped_keys(settings, Principal.WORKER)
    given = {**os.environ, "WORKER_METRICS_PORT": str(settings.worker_metrics_port)}
    become(worker_command(processes=processes, queues=queues), worker_environment(given, settings.sigilo_home))


@main.command()
def scheduler() -> None:
    """Start timed work when it is due; one such process at a time does so."""
    with loading():
        from tasks.scheduler import run_scheduler

    run_scheduler(running_settings())


# -- database ----------------------------------------------------------------------------------------------


@main.group()
def db() -> None:
    """The database's schema and addresses."""


@db.command("upgrade")
@click.argument("revision", default="head")
def db_upgrade(revision: str) -> None:
    """Bring the schema to REVISION (the newest by default)."""
    from migrations.prepare import upgrade_schema

    upgrade_schema(running_settings(), revision)
    click.echo(f"The schema is at {revision}.", err=True)


@db.command("prepare")
def db_prepare() -> None:
    """Make roles, database and schema on a server of one's own, with a superuser's DATABASE_URL.

    Each role gets the password that its own DATABASE_URL_… has. Running it again changes nothing, or the passwords.
    """
    from migrations.prepare import prepare_own_server

    prepare_own_server(running_settings())
    click.echo("Roles, database and schema are there.", err=True)


@db.command("downgrade")
@click.argument("revision")
def db_downgrade(revision: str) -> None:
    """Take the schema back to REVISION ("base" removes everything)."""
    from migrations.prepare import downgrade_schema

    downgrade_schema(running_settings(), revision)
    click.echo(f"The schema is at {revision}.", err=True)


@db.command("beside")
def db_beside() -> None:
    """Whether the release that serves goes on working once this one has upgraded the schema. Changes nothing."""
    from migrations.prepare import check_beside

    click.echo(check_beside(running_settings()))


@db.command("wait")
@click.option("--schema", "with_schema", is_flag=True, help="Until its schema is this program's, too.")
@click.option("--seconds", default=120, show_default=True, type=click.IntRange(1), help="How long at most.")
def db_wait(with_schema: bool, seconds: int) -> None:
    """Wait until the database answers."""
    from migrations.wait import wait_for_database

    wait_for_database(
        running_settings(), with_schema=with_schema, seconds=seconds, say=lambda text: click.echo(text, err=True)
    )


@db.command("url")
@click.option("--role", type=click.Choice(URL_ROLES), default="superuser", show_default=True)
def db_url(role: str) -> None:
    """Print a connection URL for psql. It holds a password."""
    click.echo(superuser_url() if role == "superuser" else running_settings().url_for(Principal(role)))


# -- data --------------------------------------------------------------------------------------------------


@main.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "source_format", default="auto", show_default=True,
              type=click.Choice(["auto", "fhir", "synthea-csv", "csv"]))  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Check everything, keep nothing.")
@click.option("--responsible", metavar="EMAIL", help="The doctor who becomes responsible for new patients.")
@click.option("--source", help="The sending system, for ids that are unique only there.")
def import_(
    paths: tuple[Path, ...], source_format: str, dry_run: bool, responsible: str | None, source: str | None
) -> None:
    """Import patients and records from files or folders. Running it again adds nothing twice."""
    from services.import_run import run_import

    settings = running_settings()
    with progress_of("Importing") as progress:
        summary = run_import(
            settings, paths, source_format=source_format, dry_run=dry_run,
            responsible=responsible, source=source, progress=progress,
        )  # fmt: skip
    click.echo(str(summary))
    if summary.rejected and not summary.taken:
        raise click.ClickException("nothing was imported: every entry was refused, for the reasons above")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--format", "target_format", required=True, type=click.Choice(["fhir", "csv"]))
@click.option("--as", "email", required=True, help="The user through whose mask everything passes.")
def export(folder: Path, target_format: str, email: str) -> None:
    """Export what a user may see into FOLDER. Audited."""
    from services.export_run import run_export

    settings = running_settings()
    with progress_of("Exporting") as progress:
        summary = run_export(settings, folder, target_format=target_format, email=email, progress=progress)
    click.echo(str(summary))


@main.group()
def demo() -> None:
    """A made-up clinic to try things on."""


@demo.command("seed")
@click.option("--patients", default=60, show_default=True, type=click.IntRange(1))
@click.option("--records", default=600, show_default=True, type=click.IntRange(1))
def demo_seed(patients: int, records: int) -> None:
    """Add generated patients, visits and a year of records."""
    from services.demo_seed import seed

    settings = running_settings()
    with progress_of("Seeding") as progress:
        summary = seed(settings, patients=patients, records=records, progress=progress)
    click.echo(str(summary))


demo.add_command(tamper)


# -- health ------------------------------------------------------------------------------------------------


@main.command()
@click.option("--bundle", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write diagnostics into FILE (.tar.gz) for whoever helps: no secret is in them and nobody of the "
              "database, which is made sure of.")  # fmt: skip
@click.option("--log", "logs", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="With --bundle: a file with the processes' output, whose last lines go into it.")  # fmt: skip
def doctor(bundle: Path | None, logs: tuple[Path, ...]) -> None:
    """Check settings and dependencies; each line says what is well or what to do."""
    if bundle is not None:
        from embedded.bundle import write_bundle

        names = write_bundle(bundle, os.environ, logs)
        click.echo(f"{len(names)} files written to {bundle}; they were looked through for people and secrets")
        return
    if logs:
        raise click.UsageError("--log goes with --bundle")
    from embedded.doctor import examine

    findings = list(examine(os.environ))
    for finding in findings:
        click.echo(f"{'ok  ' if finding.is_well else 'FAIL'}  {finding.name}: {finding.text}")
    failed = sum(not finding.is_well for finding in findings)
    click.echo(f"{len(findings)} checks, {failed} to fix")
    if failed:
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
