"""The import of DATASUS's files: whole, checked, replaceable, and noted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import errors
from sqlalchemy import func, select

from config import Principal
from models import AuditOutbox, Cid10Code, Cid10Release
from models.engine import Databases
from services.cid10_codes import canonical, release_in_force
from services.cid10_file import CATEGORIES, FILE_MAX, SHOWN, SUBCATEGORIES, TableRefused, read_table
from services.cid10_import import Imported, import_table
from services.demo_cid10 import put_demo_table
from tests.factories.cid10 import CATEGORY_COUNT, SUBCATEGORY_COUNT, write_files, write_small

pytestmark = pytest.mark.database


def bring(databases: Databases, folder: Path, **options: Any) -> Imported:
    table = read_table(folder)
    with databases.session(Principal.MIGRATOR) as session:
        return import_table(session, table, **options)


def codes(databases: Databases) -> dict[str, Cid10Code]:
    with databases.session(Principal.STAFF) as session:
        return {code.code: code for code in session.scalars(select(Cid10Code))}


def releases(databases: Databases) -> list[Cid10Release]:
    with databases.session(Principal.STAFF) as session:
        return list(session.scalars(select(Cid10Release).order_by(Cid10Release.imported_at)))


def events(databases: Databases) -> int:
    with databases.session(Principal.WORKER) as session:
        imports = select(func.count()).where(AuditOutbox.action == "cid10.import", AuditOutbox.actor_role == "SYSTEM")
        return session.execute(imports).scalar_one()


def test_the_whole_table_is_imported(fresh_databases: Databases, files: Path) -> None:
    said: list[tuple[int, int | None]] = []
    imported = bring(fresh_databases, files, progress=lambda done, total: said.append((done, total)))
    assert (imported.categories, imported.subcategories) == (CATEGORY_COUNT, SUBCATEGORY_COUNT) == (2045, 12451)
    assert said[-1] == (imported.codes, imported.codes) and len(said) > 10
    assert [done for done, _ in said] == sorted(done for done, _ in said)
    found = codes(fresh_databases)
    assert len(found) == imported.codes == CATEGORY_COUNT + SUBCATEGORY_COUNT - sum(
        code.code == code.category and not code.is_subdivided for code in found.values()
    )
    assert found["I10"].description == "Hipertensão essencial (primária)" and not found["I10"].is_subdivided
    assert found["E11"].is_subdivided and found["E11.9"].category == "E11"
    assert (found["N40"].sex, found["N94.6"].sex, found["I10"].sex) == ("MALE", "FEMALE", None)
    assert (found["J30.4"].causes_death, found["I10"].causes_death) == (False, True)
    (release,) = releases(fresh_databases)
    assert (release.origin, release.categories, release.subcategories) == ("DATASUS", 2045, 12451)
    assert events(fresh_databases) == 1


def test_pairs_and_short_titles_are_kept_as_they_are(fresh_databases: Databases, tmp_path: Path) -> None:
    write_small(tmp_path)
    bring(fresh_databases, tmp_path)
    half = codes(fresh_databases)["A17.0"]
    assert (half.classification, half.refers_to, half.replaces) == ("+", "G01*", None)
    assert half.short_description == "A17.0 Meningite tuberc"


def test_importing_again_changes_nothing(fresh_databases: Databases, tmp_path: Path) -> None:
    write_small(tmp_path)
    assert bring(fresh_databases, tmp_path).is_new
    before = releases(fresh_databases)[0].id
    again = bring(fresh_databases, tmp_path)
    assert not again.is_new and "nothing was changed" in str(again)
    assert [release.id for release in releases(fresh_databases)] == [before]
    assert events(fresh_databases) == 1


def test_another_table_takes_the_place_of_the_one_before(
    fresh_databases: Databases, files: Path, tmp_path: Path
) -> None:
    write_small(tmp_path)
    bring(fresh_databases, tmp_path)
    bring(fresh_databases, files)
    assert [release.in_force for release in releases(fresh_databases)] == [False, True]
    assert "E11.9" in codes(fresh_databases)
    bring(fresh_databases, tmp_path)  # and back
    assert [release.in_force for release in releases(fresh_databases)] == [False, False, True]
    assert set(codes(fresh_databases)) == {"A17", "A17.0", "A17.9", "I10", "N40"}
    assert events(fresh_databases) == 3


def test_the_demos_codes_give_way_to_a_clinics_and_never_take_their_place(
    fresh_databases: Databases, tmp_path: Path
) -> None:
    with fresh_databases.session(Principal.MIGRATOR) as session:
        put_demo_table(session)
    assert [release.origin for release in releases(fresh_databases)] == ["DEMO"]
    assert len(codes(fresh_databases)) > 60
    write_small(tmp_path)
    bring(fresh_databases, tmp_path)
    with fresh_databases.session(Principal.MIGRATOR) as session:
        put_demo_table(session)
        release = release_in_force(session)
    assert release is not None and release.origin == "DATASUS"
    assert "A17.0" in codes(fresh_databases)


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Damage: one text of a file becomes another."""

    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        assert old.encode("iso-8859-1") in content
        (folder / name).write_bytes(content.replace(old.encode("iso-8859-1"), new.encode("iso-8859-1"), 1))

    return damage


def saved_as(encoding: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / SUBCATEGORIES
        path.write_bytes(path.read_bytes().decode("iso-8859-1").encode(encoding))

    return damage


def without(name: str, line: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        lines = (folder / name).read_bytes().split(b"\r\n")
        (folder / name).write_bytes(b"\r\n".join(lines[: line - 1] + lines[line:]))

    return damage


@pytest.mark.parametrize(
    ("damage", "where", "why"),
    [
        (replaced(SUBCATEGORIES, "A170;", "A17;0;"), f"{SUBCATEGORIES}, line 2", "10 cells instead of 8"),
        (replaced(SUBCATEGORIES, "A179;", "A17.9;"), f"{SUBCATEGORIES}, line 3", "SUBCAT is no code"),
        (replaced(SUBCATEGORIES, "A179;", "A170;"), f"{SUBCATEGORIES}, line 3", "in an earlier line too"),
        (replaced(SUBCATEGORIES, "N40;;M;N;", "N40;;X;N;"), f"{SUBCATEGORIES}, line 5", "RESTRSEXO must be F or M"),
        (replaced(SUBCATEGORIES, "N40;;M;N;", "N40;;M;S;"), f"{SUBCATEGORIES}, line 5", "CAUSAOBITO must be N"),
        (replaced(CATEGORIES, "A17;+;", "A17;#;"), f"{CATEGORIES}, line 2", "CLASSIF must be + or *"),
        (replaced(CATEGORIES, "I10;;Hipertensão essencial;", "I10;;;"), f"{CATEGORIES}, line 3", "DESCRICAO is empty"),
        (replaced(CATEGORIES, "Hipertensão", "x" * 401), f"{CATEGORIES}, line 3", "longer than 400"),
        (replaced(CATEGORIES, "Hipertensão", "x" * 200_000), f"{CATEGORIES}, line 3", "cells"),
        (replaced(CATEGORIES, "Hipertensão", "Hiper\x00tensão"), f"{CATEGORIES}, line 3", "no text"),
        (replaced(CATEGORIES, "Hipertensão", "\"Hipertensão"), f"{CATEGORIES}, line 3", "cells"),
        (replaced(CATEGORIES, "CAT;", "CATEGORIA;"), f"{CATEGORIES}, line 1", "must name the columns CAT;CLASSIF"),
        (without(CATEGORIES, 3), f"{SUBCATEGORIES}, line 4", f"category I10 is not in {CATEGORIES}"),
        (without(SUBCATEGORIES, 5), f"{CATEGORIES}, line 4", "N40 has no row"),
        (without(SUBCATEGORIES, 4), f"{CATEGORIES}, line 3", "I10 has no row"),
        (replaced(SUBCATEGORIES, "N40   Hiperplasia da prostata;;;\r\n", "N4"), f"{SUBCATEGORIES}, line 5", "cut"),
        (saved_as("utf-8"), SUBCATEGORIES, "not ISO-8859-1"),
        (saved_as("utf-16"), SUBCATEGORIES, "not ISO-8859-1"),
        (lambda folder: (folder / SUBCATEGORIES).unlink(), SUBCATEGORIES, "not in"),
        (lambda folder: (folder / SUBCATEGORIES).write_bytes(b""), f"{SUBCATEGORIES}, line 1", "must name"),
        (lambda folder: (folder / CATEGORIES).write_bytes(b"x" * (FILE_MAX + 1)), CATEGORIES, "larger than 16 MiB"),
    ],
)  # fmt: skip
def test_half_a_table_is_no_table(
    fresh_databases: Databases, tmp_path: Path, damage: Callable[[Path], object], where: str, why: str
) -> None:
    write_small(tmp_path)
    bring(fresh_databases, tmp_path)
    before = releases(fresh_databases)[0].id
    damage(tmp_path)
    with pytest.raises(TableRefused) as error:
        bring(fresh_databases, tmp_path)
    flaw = error.value.flaws[0]
    assert flaw.where == where and why in flaw.why
    assert [release.id for release in releases(fresh_databases)] == [before]
    assert len(codes(fresh_databases)) == 5


def test_many_errors_are_counted(tmp_path: Path) -> None:
    write_files(tmp_path)
    path = tmp_path / SUBCATEGORIES
    path.write_bytes(path.read_bytes().replace(b";;;\r\n", b";\r\n"))
    with pytest.raises(TableRefused) as error:
        read_table(tmp_path)
    said = str(error.value)
    assert said.startswith(f"{SUBCATEGORIES}, line 2: 7 cells instead of 8") and said.count(SUBCATEGORIES) == SHOWN
    assert f"and {len(error.value.flaws) - SHOWN} more. Nothing was changed." in said and "\n" not in said


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda content: content.replace(b"\r\n", b"\n"), id="Unix lines"),
        pytest.param(lambda content: content + b"\r\n\r\n\x1a", id="empty lines, and the end of file of DOS"),
        pytest.param(lambda content: content.replace(b";\r\n", b"\r\n"), id="nothing behind the last cell"),
        pytest.param(lambda content: content.replace(b"essencial", b"\x93essencial\x94 \x96"), id="windows-1252"),
    ],
)
def test_harmless_differences_are_read(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    write_small(tmp_path)
    for name in (CATEGORIES, SUBCATEGORIES):
        (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
        (tmp_path / name).rename(tmp_path / name.lower())
    assert len(read_table(tmp_path).rows) == 5


@pytest.mark.parametrize(
    ("written", "canonically"),
    [("I10", "I10"), ("i10x", "I10"), ("E119", "E11.9"), ("e11.9", "E11.9"), ("A17.0", "A17.0"), ("gripe", "gripe"),
     ("", ""), ("E11.95", "E11.95")],
)  # fmt: skip
def test_codes_are_written_in_one_way(written: str, canonically: str) -> None:
    assert canonical(written) == canonically


def test_two_imports_at_once_are_one_after_the_other(fresh_databases: Databases, tmp_path: Path) -> None:
    write_small(tmp_path)
    table = read_table(tmp_path)
    with fresh_databases.session(Principal.MIGRATOR) as session:
        import_table(session, table)
        with fresh_databases.session(Principal.STAFF) as reader:
            assert release_in_force(reader) is None, "seen whole, or not at all"
            assert reader.execute(select(func.count()).select_from(Cid10Code)).scalar_one() == 0
    assert len(codes(fresh_databases)) == 5


@pytest.mark.parametrize("principal", [Principal.STAFF, Principal.PATIENT, Principal.WORKER, Principal.AUDITOR])
def test_everybody_who_signed_in_reads_the_table_and_nobody_writes_it(
    own_databases: Databases, principal: Principal
) -> None:
    with own_databases.autocommit(principal) as connection:
        assert connection.execute("SELECT count(*) FROM cid10_codes").fetchone() is not None
        for statement in ("DELETE FROM cid10_codes", "UPDATE cid10_releases SET in_force = false"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement)
