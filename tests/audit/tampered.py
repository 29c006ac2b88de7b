"""What a superuser does to a sealed trail, and the trail that tests do it to."""

from __future__ import annotations

from pathlib import Path

import psycopg

from config import Principal, Settings
from models.engine import Databases
from services.audit_chain import GENESIS, TEXT_SETTINGS, canonical, link, text_columns
from services.audit_checkpoint import signer_of, write_checkpoint
from services.audit_report import Report
from tests.audit.trail import as_superuser

EVENTS = 24


def tamper(url: str, *statements: str) -> None:
    with as_superuser(url) as connection:
        for statement in statements:
            connection.execute(statement)


def kinds(report: Report) -> list[tuple[str, int, int | None]]:
    return [(problem.kind, problem.sequence, problem.last) for problem in report.problems]


def rehash(url: str) -> None:
    """What a superuser would do who has read this code: make the chain consistent again."""
    head = GENESIS
    with psycopg.connect(url) as connection:
        connection.execute(TEXT_SETTINGS)
        rows = connection.execute(f"SELECT {text_columns('t')} FROM audit_trail t ORDER BY t.sequence").fetchall()
        for sequence, row in enumerate(rows, 1):
            head = link(head, canonical(row))
            connection.execute("UPDATE audit_trail SET hash = %s WHERE sequence = %s", (head, sequence))


def checkpoint(settings: Settings) -> Path:
    """A checkpoint of the present head, kept in a file as an operator would."""
    databases = Databases({each.value: settings.url_for(each) for each in Principal}, pool_size=1)
    path = settings.sigilo_home / "checkpoint.txt"
    with databases.session(Principal.WORKER) as session:
        path.write_text(write_checkpoint(session, signer_of(settings)))
    databases.dispose()
    return path
