"""``sigilo demo tamper``: what somebody with every right over the database can do to the trail, and what is found."""

from __future__ import annotations

import html
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import psycopg

from config import Principal, Settings
from embedded.installation import running_settings, session_as, superuser_url

Connection = psycopg.Connection[Any]
MOST_SHOWN = 4
REWRITTEN = 3  # how many events before its end the trail is rewritten from


@dataclass(frozen=True)
class Trick:
    """Something that a superuser does, as they would put it."""

    says: str
    does: Callable[[Connection, int], None]


def _edit(connection: Connection, sequence: int) -> None:
    connection.execute("UPDATE audit_trail SET actor_id = gen_random_uuid() WHERE sequence = %s", (sequence,))


def _delete(connection: Connection, sequence: int) -> None:
    connection.execute("DELETE FROM audit_trail WHERE sequence = %s", (sequence,))


def _cut(connection: Connection, sequence: int) -> None:
    connection.execute("DELETE FROM audit_trail WHERE sequence > %s", (sequence,))
    connection.execute("DELETE FROM audit_checkpoints WHERE sequence > %s", (sequence,))


def _rewrite(connection: Connection, sequence: int) -> None:
    """Everything from there on is hashed anew, so that it holds together again, and what was signed goes."""
    from services.audit_chain import TEXT_SETTINGS, canonical, link, text_columns
    from services.audit_start import online_start

    _edit(connection, sequence)
    with connection.transaction():
        connection.execute(TEXT_SETTINGS)
        row = connection.execute("SELECT hash FROM audit_trail WHERE sequence = %s", (sequence - 1,)).fetchone()
        head = bytes(row[0]) if row is not None else online_start(connection).head
        after = f"SELECT {text_columns('t')} FROM audit_trail t WHERE t.sequence >= %s ORDER BY t.sequence"
        for number, event in enumerate(connection.execute(after, (sequence,)).fetchall(), sequence):
            head = link(head, canonical(event))
            connection.execute("UPDATE audit_trail SET hash = %s WHERE sequence = %s", (head, number))
    connection.execute("DELETE FROM audit_checkpoints WHERE sequence >= %s", (sequence,))


TRICKS = (
    Trick("writes somebody else's name on event {}", _edit),
    Trick("deletes event {}", _delete),
    Trick("cuts off everything after event {}, and the checkpoints of it", _cut),
    Trick("edits event {}, hashes all that follows anew and deletes the checkpoints", _rewrite),
)


@click.command("tamper")
def tamper() -> None:
    """Show a sceptic: a scratch copy of the trail, a superuser who edits it, and what the verification finds.

    The trail itself is not touched.
    """
    from embedded.scratch_trail import scratch_trail

    settings = running_settings()
    with scratch_trail(settings, superuser_url()) as (scratch, url), tempfile.TemporaryDirectory() as folder:
        outside = Path(folder) / "outside.checkpoint"
        outside.write_text(_sign(scratch), encoding="utf-8")
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute("SELECT min(sequence), max(sequence) FROM audit_trail").fetchone()
            first, last = found or (0, 0)
            click.echo(f"A copy of {last - first + 1} events. Its checkpoint was handed to somebody else:")
            click.echo("".join(f"    {line}\n" for line in outside.read_text(encoding="utf-8").splitlines()), nl=False)
            _tell("Nobody has touched it", _verify(scratch, outside))
            connection.execute("CREATE TABLE untouched AS TABLE audit_trail")
            connection.execute("CREATE TABLE signed AS TABLE audit_checkpoints")
            for trick in TRICKS:
                sequence = max(first, last - REWRITTEN)
                with _undone(connection):
                    trick.does(connection, sequence)
                    report = _verify(scratch, outside)
                    if report.is_intact:
                        raise click.ClickException("This was not found. Tell us: the trail should prove it.")
                    _tell(f"A superuser {trick.says.format(sequence)}", report)
                    if trick is TRICKS[0]:
                        _show_page(scratch, report)
    click.echo("All of it was found. The scratch copy is gone, and the trail is what it was.")


def _sign(settings: Settings) -> str:
    from services.audit_checkpoint import signer_of, write_checkpoint

    with session_as(settings, Principal.WORKER) as session:
        return write_checkpoint(session, signer_of(settings))


def _verify(settings: Settings, outside: Path) -> Any:
    from services.audit_verify import verify

    return verify(settings, checkpoint=outside)


def _tell(what: str, report: Any) -> None:
    click.echo(f"\n{what}:")
    lines = str(report).splitlines()
    for line in [*lines[:MOST_SHOWN], lines[-1]] if len(lines) > MOST_SHOWN else lines:
        click.echo(f"    {line}")


@contextmanager
def _undone(connection: Connection) -> Iterator[None]:
    yield
    connection.execute("TRUNCATE audit_trail, audit_checkpoints")
    connection.execute("INSERT INTO audit_trail SELECT * FROM untouched")
    connection.execute("INSERT INTO audit_checkpoints SELECT * FROM signed")


def _show_page(settings: Settings, report: Any) -> None:
    """What /system says of it, asked of the application over the scratch copy as an administrator."""
    from models import Role
    from services.audit_check_note import TrailCheck, keep_check
    from services.audit_checkpoint import signer_of
    from services.audit_event import SYSTEM, Origin
    from services.audit_findings import note_findings
    from services.field_encryption import field_cipher
    from services.session_start import start_session
    from services.user_create import create_user
    from web.app import make_app
    from web.csrf import session_cookie

    with session_as(settings, Principal.STAFF) as session:
        made = create_user(
            session, SYSTEM, field_cipher(settings), email="sceptic@clinic.example", full_name="A Sceptic",
            roles=[Role.ADMIN], password=secrets.token_urlsafe(24),
        )  # fmt: skip
    with session_as(settings, Principal.ANONYMOUS) as session:
        cookie = start_session(session, Origin(ip="127.0.0.1"), made.user_id, Role.ADMIN).secret
    with session_as(settings, Principal.WORKER) as session:
        note_findings(session, report)
        found = TrailCheck(datetime.now(UTC), report.head, report.events, report.problem_count)
        keep_check(session, signer_of(settings), found)
    app = make_app(settings.model_copy(update={"log_level": "error"}))
    client = app.test_client()
    client.set_cookie(session_cookie(settings), cookie)
    page = client.get("/system", headers={"Accept": "text/html"}).get_data(as_text=True)
    verified = re.search(r'<dd id="verified">(.*?)</dd>', page, re.DOTALL)
    click.echo("\nThe page /system over that copy says:")
    for line in _text(verified[1] if verified else page).splitlines()[: MOST_SHOWN + 1]:
        click.echo(f"    {line}")


def _text(markup: str) -> str:
    markup = re.sub(r"<svg.*?</svg>", "", markup, flags=re.DOTALL)
    markup = re.sub(r"</?(ul|li|p|small)[^>]*>", "\n", markup)
    lines = (html.unescape(re.sub(r"<[^>]+>", "", line)).strip() for line in markup.splitlines())
    return "\n".join(line for line in lines if line)
