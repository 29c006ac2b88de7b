"""``sigilo user`` and ``sigilo token``: who may sign in, and the programs that call the API in their name."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import click

from config import Principal
from embedded.installation import running_settings, session_as


@click.group()
def user() -> None:
    """People who sign in."""


@user.command("create")
@click.option("--email", required=True)
@click.option("--name", "full_name", required=True, help="Full name.")
@click.option("--role", "roles", required=True, multiple=True, help="A role; may be given several times.")
@click.option("--council", help="CRM-UF or COREN-UF number.")
@click.option("--patient-id", type=click.UUID, help="Whose record it is, for the role PATIENT.")
@click.option("--quota", help="Requests of this user's tokens, such as 60/minute.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, one line.")
def user_create(password_stdin: bool, **values: Any) -> None:
    """Make a user. Without a password one is made and printed; it must be changed at first sign-in."""
    from services.audit_event import SYSTEM
    from services.field_encryption import field_cipher
    from services.user_create import create_user

    settings = running_settings()
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    with session_as(settings, Principal.STAFF) as session:
        made = create_user(session, SYSTEM, field_cipher(settings), password=password, **values)
    if made.password:
        click.echo(made.password)
    click.echo(f"{values['email']} may sign in as {', '.join(values['roles'])}.", err=True)


@user.command("disable")
@click.option("--email", required=True)
def user_disable(email: str) -> None:
    """End a user's sessions and tokens and refuse new ones."""
    from services.audit_event import SYSTEM
    from services.field_encryption import field_cipher
    from services.user_disable import disable_user

    settings = running_settings()
    with session_as(settings, Principal.STAFF) as session:
        disable_user(session, SYSTEM, field_cipher(settings), email=email)
    click.echo(f"{email} is disabled; sessions and tokens have ended.", err=True)


@click.group()
def token() -> None:
    """Bearer tokens of the JSON API."""


@token.command("create")
@click.option("--email", required=True, help="Whose token it is.")
@click.option("--name", default="command line", show_default=True, help="What it is for.")
@click.option("--scope", "scopes", multiple=True, help="A scope; by default all that the user's role may do.")
@click.option("--quota", help="Requests, such as 600/minute; instead of the user's own.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 3650), help="Until it expires.")
def token_create(email: str, name: str, scopes: tuple[str, ...], quota: str | None, days: int) -> None:
    """Make a token and print it alone. It is shown this once."""
    from services.audit_event import SYSTEM
    from services.field_encryption import field_cipher
    from services.token_create import create_token

    settings = running_settings()
    with session_as(settings, Principal.STAFF) as session:
        made = create_token(
            session, SYSTEM, field_cipher(settings), email=email, name=name, scopes=scopes, quota=quota,
            lifetime=timedelta(days=days),
        )  # fmt: skip
    click.echo(made.secret)
