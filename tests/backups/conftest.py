"""A small clinic with a sealed and signed trail, a folder for its backups, and a recovery key."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyrage
import pytest

from backups import job
from backups.create import take_backup
from backups.job import Connection
from backups.manifest import Manifest
from config import Principal, Settings
from integrations import bucket_storage
from models.engine import Databases
from services.audit_checkpoint import signer_of, write_checkpoint
from services.demo_seed import seed
from tests.audit.trail import drain_all
from tests.backups.programs import server_programs
from tests.conftest import make_settings
from tests.integrations.fake_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, FakeS3, fake_s3
from tests.servers import DatabaseServer

URL = f"s3://{BUCKET}/night"
PART = 16 << 10


def silent(_done: int, _total: int | None) -> None:
    """Nobody watches."""


@pytest.fixture(scope="session")
def recovery() -> pyrage.x25519.Identity:
    """The clinic's recovery key, which in life is on no server."""
    return pyrage.x25519.Identity.generate()


@pytest.fixture(scope="session")
def seeded(
    server: DatabaseServer, template: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Name of a database with a clinic in it, which is only copied from."""
    name = server.create(template=template)
    settings = make_settings(server.urls(name), redis_url, tmp_path_factory.mktemp("seeded"))
    seed(settings, patients=6, records=30, progress=None)
    made = Databases(server.urls(name), pool_size=2)
    drain_all(made)
    with made.session(Principal.WORKER) as session:
        write_checkpoint(session, signer_of(settings))
    made.dispose()
    yield name
    server.drop(name)


@pytest.fixture
def clinic(server: DatabaseServer, seeded: str) -> Iterator[str]:
    """Name of a database with that clinic, of this test's own."""
    name = server.create(template=seeded)
    yield name
    server.drop(name)


@pytest.fixture
def here(
    server: DatabaseServer, clinic: str, redis_url: str, tmp_path: Path, recovery: pyrage.x25519.Identity
) -> Settings:
    """Settings of an installation over that database, with a home of its own."""
    return make_settings(
        server.urls(clinic), redis_url, tmp_path / "home", backup_age_recipient=str(recovery.to_public()),
        postgres_programs=str(server_programs(server)),
    )  # fmt: skip


@pytest.fixture
def connection(here: Settings) -> Iterator[Connection]:
    """As the worker, with the lock held."""
    with job.exclusive(here) as made:
        yield made


@pytest.fixture
def gone(server: DatabaseServer) -> Iterator[str]:
    """Name of a database that is not there; dropped at the end, with what it replaced."""
    name = f"sigilo_test_{uuid.uuid4().hex[:12]}"
    yield name
    with psycopg.connect(server.maintenance_url, autocommit=True) as superuser:
        rows = superuser.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [name]).fetchall()
    for (each,) in rows:
        server.drop(each)


@pytest.fixture
def bucket() -> Iterator[FakeS3]:
    with fake_s3() as server:
        yield server


@pytest.fixture
def far(here: Settings, bucket: FakeS3, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The installation with its backups in the bucket; attempts follow one another at once, parts are small."""
    monkeypatch.setattr(bucket_storage, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(bucket_storage, "PART_BYTES", PART)
    values = {"s3_endpoint_url": bucket.url, "s3_region": REGION, "backup_url": URL}
    secret = type(here.redis_url)
    return here.model_copy(
        update=values | {"s3_access_key_id": secret(ACCESS_KEY), "s3_secret_access_key": secret(SECRET_KEY)}
    )


def back_up(settings: Settings, connection: Connection) -> Manifest:
    """A backup, asked for and made."""
    job.request(connection, "COMMAND")
    claimed = job.claim(connection, settings.backup_store)
    assert claimed is not None
    return take_backup(settings, connection, claimed, silent)


def databases_left(server: DatabaseServer) -> list[str]:
    """What drills and restores made and did not drop."""
    with psycopg.connect(server.maintenance_url, autocommit=True) as superuser:
        rows = superuser.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^sigilo_(drill|restore)_'"
        ).fetchall()
    return [row[0] for row in rows]
