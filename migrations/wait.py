"""Wait for the database, or for a schema that serves this program: containers start in any order."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from config import ConfigurationError, Principal, Settings
from migrations.run import head
from models.schema_floor import obstacle

PAUSE_SECONDS = 0.5
SAY_EVERY_SECONDS = 10.0


def wait_for_database(
    settings: Settings, *, with_schema: bool, seconds: float, say: Callable[[str], object] = lambda _: None
) -> None:
    """Come back when the database answers; ``with_schema``: and its schema serves this program.

    ``say`` is told what is waited for, now and then. Raises ConfigurationError after ``seconds``, with the last
    obstacle in it and no address.
    """
    began = told = time.monotonic()
    while True:
        obstacle = _obstacle(settings, with_schema=with_schema)
        if obstacle is None:
            return
        now = time.monotonic()
        if now - began > seconds:
            raise ConfigurationError(f"waited {seconds:.0f} s in vain: {obstacle}")
        if now - told > SAY_EVERY_SECONDS:
            told = now
            say(f"Waiting: {obstacle}")
        time.sleep(PAUSE_SECONDS)


def _obstacle(settings: Settings, *, with_schema: bool) -> str | None:
    # Before the first upgrade there are no roles to become: the login as it stands is asked.
    url = settings.url_for(Principal.ANONYMOUS) if with_schema else settings.database_url.get_secret_value()
    try:
        with psycopg.connect(url or settings.url_for(Principal.MIGRATOR), connect_timeout=5) as connection:
            if not with_schema:
                return None
            wrong = obstacle(lambda statement: connection.execute(statement).fetchone(), head())
    except psycopg.errors.UndefinedTable:
        return "the database has no schema yet: `sigilo db upgrade` makes it"
    except psycopg.OperationalError:
        return "the database does not answer, or refuses the login: check DATABASE_URL"
    return wrong
