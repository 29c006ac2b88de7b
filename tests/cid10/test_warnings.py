"""What is odd about a code is said; nothing is refused for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from config import Principal
from models.engine import Databases
from services.cid10_file import read_table
from services.cid10_import import import_table
from services.cid10_warnings import CodeWarning, Oddity, code_warnings
from services.demo_cid10 import put_demo_table
from tests.factories.cid10 import write_small

pytestmark = pytest.mark.database


def bring(databases: Databases, folder: Path) -> None:
    write_small(folder)
    with databases.session(Principal.MIGRATOR) as session:
        import_table(session, read_table(folder))


def odd(session: Session, *codes: str, sex: str | None = None, is_deceased: bool = False) -> list[CodeWarning]:
    return code_warnings(session, codes, sex=sex, is_deceased=is_deceased)


def test_with_a_clinics_table(fresh_databases: Databases, tmp_path: Path) -> None:
    bring(fresh_databases, tmp_path)
    with fresh_databases.session(Principal.STAFF) as session:
        assert odd(session, "I10", "A17.0", "a170", sex="FEMALE", is_deceased=True) == []
        assert odd(session, "N40", sex="FEMALE") == [CodeWarning("N40", Oddity.OTHER_SEX)]
        for fits in ("MALE", "OTHER", "UNKNOWN", None):
            assert odd(session, "N40", sex=fits) == []
        assert odd(session, "N40X", sex="MALE", is_deceased=True) == [CodeWarning("N40X", Oddity.NO_CAUSE_OF_DEATH)]
        assert odd(session, "Z99.9", "I10", "E11") == [
            CodeWarning("Z99.9", Oddity.UNKNOWN), CodeWarning("E11", Oddity.UNKNOWN),
        ]  # fmt: skip
        assert odd(session) == []


def test_the_demos_few_codes_make_no_code_unknown(fresh_databases: Databases) -> None:
    with fresh_databases.session(Principal.MIGRATOR) as session:
        put_demo_table(session)
    with fresh_databases.session(Principal.STAFF) as session:
        assert odd(session, "Z99.9") == []
        assert odd(session, "N40", sex="FEMALE") == [CodeWarning("N40", Oddity.OTHER_SEX)]


def test_without_a_table_nothing_is_odd(fresh_databases: Databases) -> None:
    with fresh_databases.session(Principal.STAFF) as session:
        assert odd(session, "N40", "Z99.9", sex="FEMALE", is_deceased=True) == []
