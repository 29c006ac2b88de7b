"""Which of several scheduler processes leads: the one that holds a lock of the database.

The lock is bound to a connection, so it is free as soon as its holder dies, or its connection does. A holder that
hangs, or whose machine is lost, closes nothing: there the server ends the connection that says nothing for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from models.advisory_locks import SCHEDULER
from models.connection import connect

# A leader speaks every 1.5 s (scheduler.LEAD_SECONDS). This and that, twice, are still within ten seconds.
SILENT_SECONDS = 6


class Leadership:
    """One process's claim to lead, over a connection of its own."""

    def __init__(self, url: Callable[[], str]) -> None:
        """``url`` is asked at every connection: a password may change meanwhile."""
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        self._leads = False

    @property
    def is_held(self) -> bool:
        """Whether this process led when it last looked."""
        return self._leads

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The leader's connection, in autocommit. Only while ``is_held``."""
        assert self._connection is not None  # noqa: S101
        return self._connection

    def confirm(self) -> bool:
        """Whether this process leads right now; it tries to when nobody does.

        Never raises for a database that is away: then nobody leads.
        """
        try:
            if self._connection is None or self._connection.closed:
                self._leads = False
                self._connection = connect(
                    self._url(), autocommit=True, application_name="sigilo-scheduler", connect_timeout=5
                )
                self._connection.execute(
                    "SET statement_timeout = '10s'; SET TimeZone = 'UTC';"
                    f"SET idle_session_timeout = '{SILENT_SECONDS}s'"
                )
            if self._leads:
                self._connection.execute("SELECT 1")
            else:
                row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (SCHEDULER,)).fetchone()
                self._leads = row == (True,)
        except psycopg.Error:
            self.release()
        return self._leads

    def release(self) -> None:
        """Let somebody else lead."""
        connection, self._connection, self._leads = self._connection, None, False
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()
