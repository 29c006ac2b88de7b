"""Fixtures that every test may ask for: real servers, a migrated database, the fixed cast, an API client.

The database of a test run is shared by its tests, so a test asserts about what it made itself. One that
needs an empty or damaged database asks for ``fresh_database``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from loading import loading

with loading():
    import pytest
    from coverage import Coverage
    from flask import Flask
    from flask.testing import FlaskClient
    from sqlalchemy.orm import Session

    from config import Principal, Settings, load_settings
    from models.engine import Databases
    from tests.conformance.outcomes import pytest_configure
    from tests.factories.cast import Cast, make_cast
    from tests.quick_passwords import quick_passwords, real_passwords
    from tests.servers import DatabaseServer, database_server, redis_server
    from tests.telling import pytest_runtest_makereport
    from web.app import make_app

__all__ = ["pytest_configure", "pytest_runtest_makereport", "quick_passwords", "real_passwords"]

# Modules that take longest, which begin first: a worker that met one of them last would keep the others waiting. Those
# that start whole installations do not begin together.
LONGEST = (
    "observability/test_panels.py", "e2e/test_accessibility.py", "web/test_access_matrix_pages.py",
    "embedded/test_run.py", "faults/test_faults.py", "web/test_login_failures.py",
    "import_export/test_sources_counts.py", "e2e/test_writing_records.py", "import_export/test_import_jobs.py",
    "tasks/test_worker.py", "web/test_access_matrix.py", "import_export/test_export.py", "e2e/test_records.py",
)  # fmt: skip
TESTS = Path(__file__).resolve().parent
SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Loads the modules of all tests: more than any program does."""
    with loading():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests marked ``unmeasured`` run as fast as they can."""
    measuring = Coverage.current() if item.get_closest_marker("unmeasured") else None
    if measuring is None:
        return (yield)
    measuring.stop()
    try:
        return (yield)
    finally:
        measuring.start()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real-format synthetic data beside the clone, where there is one."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real-format data set (../shared/data) is not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sigilo")


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[DatabaseServer]:
    with database_server(home) as running:
        yield running


@pytest.fixture(scope="session")
def redis_url(home: Path) -> Iterator[str]:
    with redis_server(home) as url:
        yield url


@pytest.fixture(scope="session")
def template(server: DatabaseServer) -> Iterator[str]:
    """Name of a migrated database that is only copied from."""
    name = server.create()
    yield name
    server.drop(name)


@pytest.fixture(scope="session")
def database(server: DatabaseServer, template: str) -> Iterator[str]:
    """Name of the database that most tests share."""
    name = server.create(template=template)
    yield name
    server.drop(name)


@pytest.fixture
def fresh_database(server: DatabaseServer, template: str) -> Iterator[str]:
    """Name of a migrated database of this test's own."""
    name = server.create(template=template)
    yield name
    server.drop(name)


def test_key(purpose: str) -> str:
    """32 bytes in base64 that are the same in every run and mean nothing outside the tests."""
    return base64.b64encode(hashlib.sha256(f"sigilo tests: {purpose}".encode()).digest()).decode()


def make_settings(urls: dict[str, str], redis_url: str, home: Path, **overrides: Any) -> Settings:
    values: dict[str, Any] = {
        "sigilo_env": "development",
        "sigilo_home": home,
        "secret_key": test_key("session") + test_key("more"),
        "field_key": test_key("fields"),
        "audit_signing_key": test_key("signing"),
        "redis_url": redis_url,
        "database_pool_size": 4,
        "public_url": "http://localhost",
        # All tests come from one address; those about quotas state their own.
        "rate_limit_anonymous": "1000000/minute",
        "rate_limit_pages": "1000000/minute",
        "rate_limit_live": "1000000/minute",
        "ai_user_quota": "1000000/hour",
        "ai_clinic_quota": "1000000/hour",
        **{f"database_url_{principal}": url for principal, url in urls.items()},
    }
    return load_settings(**(values | overrides))


@pytest.fixture(scope="session")
def settings(server: DatabaseServer, database: str, redis_url: str, home: Path) -> Settings:
    return make_settings(server.urls(database), redis_url, home)


@pytest.fixture(scope="session")
def databases(server: DatabaseServer, database: str) -> Iterator[Databases]:
    made = Databases(server.urls(database), pool_size=4)
    yield made
    made.dispose()


@pytest.fixture
def fresh_databases(server: DatabaseServer, fresh_database: str) -> Iterator[Databases]:
    made = Databases(server.urls(fresh_database), pool_size=4)
    yield made
    made.dispose()


@pytest.fixture
def fresh_settings(server: DatabaseServer, fresh_database: str, redis_url: str, home: Path) -> Settings:
    return make_settings(server.urls(fresh_database), redis_url, home)


@pytest.fixture
def session(databases: Databases) -> Iterator[Session]:
    """A staff session whose transaction is rolled back at the end."""
    with databases.engine(Principal.STAFF).connect() as connection:
        transaction = connection.begin()
        with Session(bind=connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as made:
            yield made
        transaction.rollback()


@pytest.fixture(scope="session")
def cast(databases: Databases, settings: Settings) -> Cast:
    """The fixed cast: doctor, doctor2, nurse, reception, admin, auditor, patient, stranger (see factories)."""
    return make_cast(databases, settings)


@pytest.fixture(scope="session")
def app(settings: Settings, databases: Databases) -> Flask:
    """The real application over the shared database and Redis. Its change token is asked for anew each time, so that
    a change shows at once and statements can be counted."""
    made = make_app(settings, databases)
    made.extensions["sigilo"].clinic_state.kept_seconds = 0.0
    return made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A caller without cookies; people of the cast send ``headers=person.headers``."""
    return app.test_client(use_cookies=False)
