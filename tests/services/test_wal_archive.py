"""How late the archive of changes is said to be, from what PostgreSQL says of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config import Principal
from models.engine import Databases
from services.measure import measure
from services.wal_archive import ARCHIVE, LITTLE, WalArchive, read_archive, wal_archive

NOW = datetime(2026, 11, 26, 5, tzinfo=UTC)
SEGMENT = 16 << 20
# The file ends at 16 MiB × (0x2A + 1) of its 4 GiB, after two of those.
LAST, ITS_END = "00000003000000020000002A", (2 << 32) + 0x2B * SEGMENT


def row(**said: Any) -> tuple[Any, ...]:
    given = {
        "now": NOW, "on": True, "standby": False, "last": LAST, "at": NOW - timedelta(seconds=40), "failing": None,
        "written": ITS_END + 1_000, "segment": SEGMENT,
    }  # fmt: skip
    return tuple((given | said).values())


def test_what_was_written_since_the_last_file_waits() -> None:
    assert read_archive(row()) == WalArchive(timedelta(seconds=40), 1_000, False)


@pytest.mark.parametrize("said", [{"on": False}, {"standby": True}])
def test_a_server_that_archives_nothing_is_not_late(said: dict[str, Any]) -> None:
    assert read_archive(row(**said)) is None


@pytest.mark.parametrize(
    ("said", "is_late"),
    [
        ({}, False),
        ({"at": NOW - timedelta(hours=8)}, False),  # a clinic asleep
        ({"at": NOW - timedelta(seconds=110), "written": ITS_END + 10 * LITTLE}, False),
        ({"at": NOW - timedelta(seconds=130), "written": ITS_END + 10 * LITTLE}, True),
        ({"failing": True}, True),
        ({"last": None, "at": NOW - timedelta(seconds=130)}, True),  # nothing ever arrived
        ({"last": "00000003.history"}, False),
    ],
)
def test_late_is_an_archive_that_wal_waits_for(said: dict[str, Any], is_late: bool) -> None:
    found = read_archive(row(**said))
    assert found is not None
    assert found.is_late is is_late


def test_the_tests_server_archives_nothing_and_says_so_to_everybody(databases: Databases) -> None:
    [measured] = measure(databases, ARCHIVE)
    assert measured is not None and read_archive(measured) is None
    with databases.session(Principal.STAFF) as session:
        assert wal_archive(session) is None
