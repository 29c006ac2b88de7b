"""Databases with a CID-10 table in force."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from config import Principal
from models.engine import Databases
from services.cid10_file import read_table
from services.cid10_import import import_table
from services.demo_cid10 import put_demo_table
from tests.factories.cid10 import write_files
from tests.servers import DatabaseServer


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both files, of full size."""
    folder = tmp_path_factory.mktemp("cid10")
    write_files(folder)
    return folder


@pytest.fixture(scope="module")
def own_databases(server: DatabaseServer, template: str) -> Iterator[Databases]:
    """A database of this module's own."""
    name = server.create(template=template)
    made = Databases(server.urls(name), pool_size=4)
    yield made
    made.dispose()
    server.drop(name)


@pytest.fixture(scope="module")
def demo_codes(own_databases: Databases) -> Iterator[Session]:
    """A staff session over the demo's table."""
    with own_databases.session(Principal.MIGRATOR) as session:
        put_demo_table(session)
    with own_databases.session(Principal.STAFF) as session:
        yield session


@pytest.fixture(scope="module")
def all_codes(own_databases: Databases, files: Path) -> Iterator[Session]:
    """A staff session over a table of full size."""
    with own_databases.session(Principal.MIGRATOR) as session:
        import_table(session, read_table(files))
    with own_databases.session(Principal.STAFF) as session:
        yield session
