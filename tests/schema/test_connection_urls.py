"""URLs of the database: another role, another database, and of several servers the one that takes writes."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from config_urls import at_the_primary, with_database, with_role


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://sigilo:p%2Cw@one:5432,two:5432/sigilo",
        "postgresql:///sigilo?host=one,two&port=5432",
        "postgresql://sigilo@/sigilo?hostaddr=192.0.2.1,192.0.2.2&sslmode=verify-ca",
        "postgresql://one,two/sigilo?hostaddr=192.0.2.1,192.0.2.2",
    ],
)
def test_of_several_servers_the_one_that_takes_writes(url: str) -> None:
    found = conninfo_to_dict(at_the_primary(url))
    assert found.pop("target_session_attrs") == "read-write"
    assert found == conninfo_to_dict(url), "and nothing else is changed"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://sigilo:a,b@one/sigilo", "postgresql:///sigilo?host=/var/run/postgresql",
        "postgresql://one/sigilo?hostaddr=192.0.2.1",
        "postgresql:///sigilo?hostaddr=192.0.2.1,192.0.2.2&target_session_attrs=any",
    ],
)  # fmt: skip
def test_one_server_or_what_was_said_is_left_as_it_is(url: str) -> None:
    assert at_the_primary(url) == url


@pytest.mark.parametrize("url", ["postgresql:///sigilo?host=/run/postgresql", "postgresql://me:p%40ss@one:5433/sigilo"])
def test_another_database_or_role_of_the_same_server(url: str) -> None:
    found = conninfo_to_dict(url)
    assert conninfo_to_dict(with_database(url, "a b")) == found | {"dbname": "a b"}
    assert conninfo_to_dict(with_role(url, "sigilo_staff")) == found | {"options": "-c role=sigilo_staff"}
