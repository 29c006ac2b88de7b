"""CID-10 searches out of the cache: the same answer, for another table another."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from config import Principal
from integrations.cache import NoCache, RedisCache
from models.engine import Databases
from services.cid10_import import import_table
from services.cid10_remembered import search_remembered
from services.cid10_search import Candidate, search
from services.demo_cid10 import demo_table
from tests.servers import DatabaseServer

ASKED = {"sex": "MALE", "is_deceased": False, "limit": 8}


@pytest.fixture
def cache(redis_url: str) -> Iterator[RedisCache]:
    made = RedisCache(redis_url, uuid.uuid4().hex)
    yield made
    made.close()


def searched(session: Session, cache: RedisCache | NoCache, text: str, **options: Any) -> tuple[list[Candidate], bool]:
    """What is found, and whether the table was searched for it."""
    statements: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(session.get_bind(), "before_cursor_execute", note)
    try:
        found = search_remembered(session, cache, text, **{**ASKED, **options})
    finally:
        event.remove(session.get_bind(), "before_cursor_execute", note)
    return found, any("FROM scored" in statement or "LIKE" in statement for statement in statements)


@pytest.mark.parametrize("typed", ["hiperplasia da próstata", "j4", "dor", "palavra que não há", "I10"])
def test_what_is_remembered_is_what_would_be_found(demo_codes: Session, cache: RedisCache, typed: str) -> None:
    first, second = (searched(demo_codes, cache, typed) for _ in range(2))
    assert (first[1], second[1]) == (True, False)
    assert second[0] == first[0] == search(demo_codes, typed, **ASKED)  # type: ignore[arg-type]
    assert searched(demo_codes, cache, typed.upper()) == second, "written otherwise, the same"


def test_everything_that_the_answer_hangs_on_is_asked_for(demo_codes: Session, cache: RedisCache) -> None:
    searched(demo_codes, cache, "rinite")
    for other in ({"sex": "FEMALE"}, {"sex": None}, {"is_deceased": True}, {"limit": 9}):
        assert searched(demo_codes, cache, "rinite", **other)[1], other
    assert searched(demo_codes, cache, "rinit")[1]
    assert searched(demo_codes, cache, "rinite ")[1], "a word that is still being typed"
    dead, _ = searched(demo_codes, cache, "rinite", is_deceased=True)
    again, was_searched = searched(demo_codes, cache, "rinite", is_deceased=True)
    assert not was_searched
    assert again[0].warnings == dead[0].warnings != ()


def test_a_new_table_finds_nothing_of_the_former_ones(
    server: DatabaseServer, template: str, cache: RedisCache
) -> None:
    name = server.create(template=template)
    own = Databases(server.urls(name), pool_size=2)
    try:
        with own.session(Principal.STAFF) as session:
            assert searched(session, cache, "asma") == ([], False), "no table, and nothing to remember"
        whole = demo_table()
        without = replace(
            whole, rows=tuple(row for row in whole.rows if "sma" not in str(row["description"])), sha256=bytes(32)
        )
        for table, is_there in ((whole, True), (without, False), (whole, True)):
            with own.session(Principal.MIGRATOR) as session:
                import_table(session, table, origin="DEMO")
            for _ in range(2):
                with own.session(Principal.STAFF) as session:
                    assert bool(searched(session, cache, "asma")[0]) is is_there
    finally:
        own.dispose()
        server.drop(name)
