"""Sigilo beside three yardsticks in the same server processes: what Flask itself costs, and a bare query.

``/bench/hello`` answers three bytes from a Flask that does nothing else; ``/bench/select`` is one ``SELECT 1``
through psycopg; ``/bench/page`` reads the same page of 20 records as the list call, as JSON made by PostgreSQL,
with no token, mask, quota, event, log or metric. Below ``/uncounted`` lies Sigilo once more, without what is counted
for Prometheus; below ``/looked-up`` with every caller looked up; below ``/counted`` as it is, so that all come the same
way; below ``/traced`` with traces too, sent to ``BENCH_COLLECTOR``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from flask import Flask, Response
from psycopg_pool import ConnectionPool

from config import Principal, load_settings
from services.authenticate import Known
from services.remembered_caller import RememberedCallers
from web.app import make_app
from web.runtime import EXTENSION

settings = load_settings()
application = make_app(settings)


class Forgetful(RememberedCallers):
    """Remembers nobody."""

    def recall(self, token: str) -> Known | None:
        return None


looked_up = make_app(settings)
# Over the same connections: those of four applications are more than the server takes.
here = application.extensions[EXTENSION]
looked_up.extensions[EXTENSION] = replace(here, callers=Forgetful(here.databases, here.cache))
WAYS = {"/counted": application, "/uncounted": make_app(settings, counts=False), "/looked-up": looked_up}
if "BENCH_COLLECTOR" in os.environ:
    WAYS["/traced"] = make_app(load_settings(otel_exporter_otlp_endpoint=os.environ["BENCH_COLLECTOR"]))
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


yardsticks = Flask("bench")
yardsticks.add_url_rule("/bench/hello", "hello", lambda: Response("ok\n"))
yardsticks.add_url_rule("/bench/select", "select", lambda: Response(_query("SELECT 1")))
yardsticks.add_url_rule("/bench/page", "page", lambda: Response(_query(PAGE), mimetype="application/json"))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path: str = environ["PATH_INFO"]
    for way, sigilo in WAYS.items():
        if path.startswith(way):
            environ["PATH_INFO"] = path.removeprefix(way)
            return sigilo(environ, start_response)
    chosen = yardsticks if path.startswith("/bench/") else application
    return chosen(environ, start_response)
