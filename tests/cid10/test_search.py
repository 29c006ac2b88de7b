"""What is found for what doctors type."""

from __future__ import annotations

import orjson
import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from config import Principal
from models.engine import Databases
from services.cid10_evaluation import cases, recall
from services.cid10_search import SYNONYMS, TEXT_MAX, search, synonyms
from services.cid10_warnings import Oddity
from services.demo_cid10 import demo_table
from services.demo_conditions import all_conditions

pytestmark = pytest.mark.database
ENOUGH = 0.9


def first(session: Session, typed: str, **options: str) -> str:
    found = search(session, typed, **options)  # type: ignore[arg-type]
    return found[0].code if found else ""


def test_nine_of_ten_texts_have_their_code_among_the_first_five(
    demo_codes: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    found = recall(demo_codes)
    with capsys.disabled():
        print(f"\ncandidate search: {found}")  # noqa: T201  (a figure that is looked at)
    assert len(found.places) >= 60
    assert found.value >= ENOUGH, found.missed
    assert {code for _, code in cases()} <= {row["code"] for row in demo_table().rows}


def test_diagnoses_that_were_written_before_there_was_a_search_are_found_too(demo_codes: Session) -> None:
    texts = [(diagnosis, each.code) for each in all_conditions() for diagnosis in each.diagnosis]
    missed = [
        (diagnosis, code)
        for diagnosis, code in texts
        if code not in [candidate.code for candidate in search(demo_codes, diagnosis, limit=5)]
    ]
    assert len(texts) > 60
    assert len(missed) <= (1 - ENOUGH) * len(texts), missed


@pytest.mark.parametrize(
    ("typed", "code"),
    [("pressão alta", "I10"), ("hipertensao", "I10"), ("HAS", "I10"), ("dm2", "E11.9"), ("diabetes tipo 2", "E11.9"),
     ("I10", "I10"), ("gripe", "J11.1"), ("  HiPeRtEnSãO ", "I10"), ("hipertens", "I10"), ("e119", "E11.9"),
     ("E11.9", "E11.9"), ("e11", "E11.9"), ("I10X", "I10"), ("paciente com cid I10 em controle", "I10"),
     ("refluxo", "K21.9")],
)  # fmt: skip
def test_what_doctors_type_comes_first(demo_codes: Session, typed: str, code: str) -> None:
    assert first(demo_codes, typed) == code


def test_the_beginning_of_a_code_lists_what_begins_so(demo_codes: Session) -> None:
    codes = [candidate.code for candidate in search(demo_codes, "j4")]
    assert codes == ["J44.9", "J45.9"]


@pytest.mark.parametrize(
    "typed",
    ["", " ", "'", "zyxwv", "& | ! ( ) :*", "a' OR 1=1 --", "\\", "%", "_", "não", "¯\\_(ツ)_/¯", "x" * 5000,
     "\u202e", "b12"],
)  # fmt: skip
def test_what_means_nothing_finds_nothing_and_breaks_nothing(demo_codes: Session, typed: str) -> None:
    assert search(demo_codes, typed) == []


def test_a_long_text_is_looked_at_as_far_as_it_helps(demo_codes: Session) -> None:
    long = "asma " + "palavra " * 10_000 + "gripe"
    codes = [candidate.code for candidate in search(demo_codes, long)]
    assert codes[0] == "J45.9" and "J11.1" not in codes
    assert len(long) > TEXT_MAX


def test_codes_of_the_other_sex_come_later_and_say_so(demo_codes: Session) -> None:
    own, other = (search(demo_codes, "hiperplasia da próstata", sex=sex)[0] for sex in ("MALE", "FEMALE"))
    assert (own.code, own.warnings) == ("N40", ())
    assert (other.code, other.warnings) == ("N40", (Oddity.OTHER_SEX,))
    assert other.score < own.score
    assert search(demo_codes, "próstata", sex="OTHER")[0].warnings == ()
    dead = search(demo_codes, "rinite", is_deceased=True)[0]
    assert (dead.code, dead.warnings) == ("J30.4", (Oddity.NO_CAUSE_OF_DEATH,))


def test_candidates_are_as_many_as_asked_for_and_in_order(demo_codes: Session) -> None:
    found = search(demo_codes, "não especificada dor febre aguda infecção crônica", limit=3)
    assert len(found) == 3
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_every_synonym_means_something_else_and_is_said_once() -> None:
    said = synonyms()
    assert len(said) == len(orjson.loads(SYNONYMS.read_bytes())), "two that are the same without accents"
    assert all(words and meaning for words, meaning in said.items())
    assert [words for words, meaning in said.items() if set(meaning) <= set(words)] == []


def test_a_search_is_one_statement_that_reads_codes_alone(demo_codes: Session) -> None:
    seen: list[str] = []
    engine = demo_codes.get_bind()
    event.listen(engine, "before_cursor_execute", lambda *a: seen.append(a[2]))
    search(demo_codes, "dor nas costas")
    assert len(seen) == 1
    assert "cid10_codes" in seen[0] and "patients" not in seen[0] and "medical_records" not in seen[0]


def test_among_all_codes_the_same_are_found(all_codes: Session) -> None:
    assert all_codes.execute(text("SELECT count(*) FROM cid10_codes")).scalar_one() > 12_000
    assert recall(all_codes).value >= ENOUGH
    best = search(all_codes, "enxaqueca")[0]
    category = all_codes.execute(text("SELECT description FROM cid10_codes WHERE code = 'G43'")).scalar_one()
    assert (best.code, best.category) == ("G43.9", category)


def test_without_a_table_nothing_is_found(fresh_databases: Databases) -> None:
    with fresh_databases.session(Principal.STAFF) as session:
        assert search(session, "gripe") == search(session, "I10") == []
