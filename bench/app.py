"""Sigilo behind two yardsticks in the same server process: an empty answer, and a bare query.

``/bench/hello`` answers three bytes; ``/bench/select`` one ``SELECT 1``; ``/bench/page`` reads the same page of
20 records as the list call, as JSON made by PostgreSQL, with no token, mask, quota or event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from psycopg_pool import ConnectionPool

from config import Principal, load_settings
from web.app import make_app

settings = load_settings()
application = make_app(settings)
pool = ConnectionPool(settings.url_for(Principal.STAFF), min_size=4, max_size=8, kwargs={"autocommit": True}, open=True)

PAGE = """
    SELECT coalesce(json_agg(r), '[]')::text FROM (
        SELECT id, patient_id, kind, title, diagnosis, treatment, notes, cid10_codes, priority, restricted, occurred_at,
            version, amends_id, author_id, created_at, updated_at, deleted_at
        FROM medical_records WHERE deleted_at IS NULL ORDER BY occurred_at DESC, id DESC LIMIT 20
    ) r
"""


def _query(statement: str) -> bytes:
    with pool.connection() as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return str(row[0]).encode()


YARDSTICKS: dict[str, Callable[[], bytes]] = {
    "/bench/hello": lambda: b"ok\n",
    "/bench/select": lambda: _query("SELECT 1"),
    "/bench/page": lambda: _query(PAGE),
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    yardstick = YARDSTICKS.get(environ["PATH_INFO"])
    if yardstick is None:
        return application(environ, start_response)
    body = yardstick()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
