"""Connections of psycopg's own, for what holds one by itself: a lock, a snapshot of the whole, a command."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import TupleRow

# A server whose machine or network is gone says nothing, not even that: left alone, libpq waits a quarter of an hour
# for what it said to be acknowledged, and for ever for an answer.
ALIVE: dict[str, Any] = {"keepalives_idle": 20, "keepalives_interval": 4, "keepalives_count": 2}
GONE: dict[str, Any] = {"tcp_user_timeout": 8_000, **ALIVE}
CONNECT_SECONDS = 10


def connect(
    url: str, *, autocommit: bool = False, application_name: str = "sigilo", connect_timeout: int = CONNECT_SECONDS
) -> psycopg.Connection[TupleRow]:
    """To a libpq ``url`` (``postgresql://…``), within ``connect_timeout`` seconds for each host that it names. Raises
    psycopg.OperationalError, here and, within half a minute of the server being gone, later."""
    return psycopg.connect(
        url, autocommit=autocommit, application_name=application_name, connect_timeout=connect_timeout, **GONE
    )
