"""The spool: put together by patient, gone with its process, and small in memory."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services import import_spool
from services.import_entries import ImportedPatient, ImportedRecord, Key, Place
from services.import_spool import open_spool
from tests.import_export.conftest import RULES


def record(number: int, patient: str, **values: object) -> ImportedRecord:
    defaults = {
        "place": Place("records.csv", number + 2),
        "key": Key("erp", f"r{number}"),
        "patient": Key("erp", patient),
        "occurred_at": RULES.now,
        "title": "Nota",
        "kind": "CONSULTATION",
        "priority": "NORMAL",
    }
    return ImportedRecord(**defaults | values)  # type: ignore[arg-type]


def person(number: int) -> ImportedPatient:
    return ImportedPatient(Place("patients.csv", number + 2), Key("erp", f"p{number}"), f"Ana {number}", "FEMALE")


def test_nothing_lies_about_while_it_is_open_or_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_spool, "CACHE_KIB", 64)
    with open_spool(tmp_path) as spool:
        assert list((tmp_path / "imports").iterdir()) == []
        assert stat.S_IMODE((tmp_path / "imports").stat().st_mode) == 0o700
        for number in range(2_000):
            spool.add(person(number))
            spool.add(record(number, f"p{number}", notes="x" * 500))
        spool.seal()
        assert sum(len(unit.records) for unit in spool.units()) == 2_000
        assert list((tmp_path / "imports").iterdir()) == []
    assert list((tmp_path / "imports").iterdir()) == []


def test_units_follow_the_files_and_strangers_come_last(tmp_path: Path) -> None:
    with open_spool(tmp_path) as spool:
        spool.add(record(0, "stranger"))
        spool.add(record(1, "p1"))
        spool.add(person(1))
        spool.add(person(0))
        spool.add(record(2, "p1"))
        spool.seal()
        units = list(spool.units())
        assert [(unit.patient_key.id, len(unit.records), unit.patient is None) for unit in units] == [
            ("p1", 2, False),
            ("p0", 0, False),
            ("stranger", 1, True),
        ]
        assert spool.total() == 5


def test_what_is_amended_comes_before_its_addendum(tmp_path: Path) -> None:
    with open_spool(tmp_path) as spool:
        spool.add(person(0))
        spool.add(record(0, "p0", kind="ADDENDUM", amends=Key("erp", "r1")))
        spool.add(record(1, "p0"))
        spool.seal()
        (unit,) = spool.units()
        assert [entry.key.id for entry in unit.records] == ["r1", "r0"]
