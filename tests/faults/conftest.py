"""One installation for the tests of a module, which break it in turn and leave it whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.clinic import Clinic, make_clinic
from tests.installation import Installation


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    installation = Installation(tmp_path_factory.mktemp("faults"))
    try:
        yield make_clinic(installation)
    finally:
        installation.remove()
