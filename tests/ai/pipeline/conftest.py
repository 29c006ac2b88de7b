"""A clinic of a module's own, in front of a server that speaks Ollama's API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.engine import Databases
from services.field_encryption import field_cipher
from tests.ai.pipeline.clinic import Clinic, quoting
from tests.conftest import make_settings
from tests.factories.cast import Cast, make_cast
from tests.integrations.fake_ollama import FakeOllama, fake_ollama
from tests.servers import DatabaseServer


@pytest.fixture(scope="module")
def urls(server: DatabaseServer, template: str) -> Iterator[dict[str, str]]:
    name = server.create(template=template)
    yield server.urls(name)
    server.drop(name)


@pytest.fixture(scope="module")
def own_databases(urls: dict[str, str]) -> Iterator[Databases]:
    made = Databases(urls, pool_size=6)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def own_cast(own_databases: Databases, urls: dict[str, str], redis_url: str, home: Path) -> Cast:
    return make_cast(own_databases, make_settings(urls, redis_url, home))


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    with fake_ollama() as running:
        running.answer_with(quoting)
        yield running


@pytest.fixture
def clinic(
    own_databases: Databases, own_cast: Cast, urls: dict[str, str], redis_url: str, home: Path, ollama: FakeOllama
) -> Iterator[Clinic]:
    settings = make_settings(urls, redis_url, home, ollama_url=ollama.url)
    made = Clinic(own_databases, settings, field_cipher(settings), own_cast, ollama)
    yield made
    while made.run(has_model=False):  # what a test left in the queue is no other's
        pass
