"""Rows of a server-side cursor, the next ones fetched while the last are worked on: server and client both have a core,
and in turns either would wait for the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg


def read_ahead(cursor: psycopg.ServerCursor[Any]) -> Iterator[Any]:
    """Each row that ``cursor`` still has; at most twice its ``itersize`` are in memory.

    Other cursors of the same connection may be read meanwhile: psycopg lets one statement at a time through.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as beside:
        coming = beside.submit(cursor.fetchmany, cursor.itersize)
        while rows := coming.result():
            coming = beside.submit(cursor.fetchmany, cursor.itersize)
            yield from rows
