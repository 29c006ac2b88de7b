"""Two edits of one record: what merges itself, what somebody decides, and what is kept meanwhile."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import select

from config import Principal
from models import AuditOutbox
from models.engine import Databases
from tests.factories.cast import Cast, join_team
from tests.web.writing.writer import MakeRecord, Open, Writer, edit, end_membership, id_in, inputs_of, record_of


def test_two_edits_meet_and_nothing_is_preselected(
    doctor: Writer, open_as: Open, databases: Databases, cast: Cast,
    make_record: MakeRecord, patient_id: uuid.UUID,
) -> None:  # fmt: skip
    join_team(databases, patient_id, cast.doctor2.id)
    record_id = make_record(treatment="Losartana 50 mg uma vez ao dia.")
    path, merge = f"/medical-records/{record_id}/edit", f"/medical-records/{record_id}/merge"
    mine = doctor.fill(path, treatment="Losartana 100 mg uma vez ao dia.", notes="PA 160 × 100. Nega cefaleia.")
    edit(open_as("doctor2"), record_id, treatment="Losartana 50 mg de 12 em 12 horas.", priority="HIGH")
    page = doctor.send(path, mine, 409).get_data(as_text=True)
    assert "Paulo Reis" in page and "1 precisa da sua escolha" in page
    assert "<del>50</del><ins>100</ins>" in page
    fields = inputs_of(page)
    assert not any(name.startswith("choice.") for name in fields), "nothing is preselected"
    assert 'name="choice.notes"' not in page and 'name="choice.priority"' not in page, "these merged themselves"
    page = doctor.send(merge, fields, 422).get_data(as_text=True)
    assert record_of(databases, record_id).version == 2
    doctor.send(merge, inputs_of(page) | {"choice.treatment": "mine"})
    record = record_of(databases, record_id)
    assert record.treatment == "Losartana 100 mg uma vez ao dia."
    assert (record.notes, record.priority, record.version) == ("PA 160 × 100. Nega cefaleia.", "HIGH", 3)


@pytest.mark.parametrize(
    ("choice", "expected"), [("theirs", "a segunda"), ("own", "nem uma nem outra"), ("mine", "a primeira")]
)
def test_each_choice_saves_what_it_says(
    doctor: Writer, open_as: Open, databases: Databases, make_record: MakeRecord, choice: str, expected: str
) -> None:
    record_id = make_record()
    path = f"/medical-records/{record_id}/edit"
    mine = doctor.fill(path, notes="a primeira")
    edit(open_as("doctor"), record_id, notes="a segunda")
    fields = inputs_of(doctor.send(path, mine, 409).get_data(as_text=True))
    fields |= {"choice.notes": choice, "own.notes": "nem uma nem outra"}
    doctor.send(f"/medical-records/{record_id}/merge", fields)
    assert record_of(databases, record_id).notes == expected


def test_own_words_are_checked_like_any_others(
    doctor: Writer, open_as: Open, databases: Databases, make_record: MakeRecord
) -> None:
    record_id = make_record()
    path = f"/medical-records/{record_id}/edit"
    mine = doctor.fill(path, title="Um")
    edit(open_as("doctor"), record_id, title="Dois")
    fields = inputs_of(doctor.send(path, mine, 409).get_data(as_text=True)) | {"choice.title": "own", "own.title": " "}
    page = doctor.send(f"/medical-records/{record_id}/merge", fields, 422).get_data(as_text=True)
    assert "#title" in page and inputs_of(page)["choice.title"] == "own"


def test_stale_again_while_merging_keeps_everything(
    doctor: Writer, open_as: Open, databases: Databases, make_record: MakeRecord
) -> None:
    record_id = make_record(treatment="repouso")
    path, merge = f"/medical-records/{record_id}/edit", f"/medical-records/{record_id}/merge"
    mine = doctor.fill(path, notes="minha", treatment="meu")
    edit(open_as("doctor"), record_id, notes="deles", treatment="deles")
    fields = inputs_of(doctor.send(path, mine, 409).get_data(as_text=True))
    fields |= {"choice.notes": "mine", "choice.treatment": "own", "own.treatment": "em outras palavras"}
    edit(open_as("doctor"), record_id, treatment="deles de novo")
    page = doctor.send(merge, fields, 409).get_data(as_text=True)
    again = inputs_of(page)
    assert again["choice.notes"] == "mine", "the third edit left it alone"
    assert "choice.treatment" not in again, "chosen against a version that is gone"
    assert again["own.treatment"] == "em outras palavras"
    doctor.send(merge, again | {"choice.treatment": "own"})
    record = record_of(databases, record_id)
    assert (record.notes, record.treatment, record.version) == ("minha", "em outras palavras", 4)


def test_the_same_edit_twice_is_no_conflict(
    doctor: Writer, databases: Databases, make_record: MakeRecord
) -> None:
    record_id = make_record()
    path = f"/medical-records/{record_id}/edit"
    fields = doctor.fill(path, notes="uma vez")
    doctor.send(path, fields)
    assert id_in(doctor.send(path, fields).headers["Location"]) == record_id
    assert record_of(databases, record_id).version == 2


def test_going_on_editing_keeps_the_text(doctor: Writer, open_as: Open, make_record: MakeRecord) -> None:
    record_id = make_record()
    path = f"/medical-records/{record_id}/edit"
    mine = doctor.fill(path, notes="minha")
    edit(open_as("doctor"), record_id, notes="deles")
    fields = inputs_of(doctor.send(path, mine, 409).get_data(as_text=True)) | {"act": "edit"}
    again = inputs_of(doctor.send(f"/medical-records/{record_id}/merge", fields, 200).get_data(as_text=True))
    assert (again["notes"], again["version"], again["draftId"]) == ("minha", "1", mine["draftId"])


def test_security_38_who_left_the_team_sees_no_conflict(
    open_as: Open, databases: Databases, cast: Cast, make_record: MakeRecord, patient_id: uuid.UUID
) -> None:
    record_id = make_record()
    join_team(databases, patient_id, cast.doctor2.id)
    path, other = f"/medical-records/{record_id}/edit", open_as("doctor2")
    mine = other.fill(path, notes="minha")
    edit(open_as("doctor"), record_id, notes="segredo novo")
    end_membership(databases, patient_id, cast.doctor2.id)
    assert "segredo" not in other.send(path, mine, 403).get_data(as_text=True)
    merged = mine | {"theirs": "2", "choice.notes": "mine"}
    assert "segredo" not in other.send(f"/medical-records/{record_id}/merge", merged, 403).get_data(as_text=True)


def test_showing_two_versions_is_in_the_trail(
    doctor: Writer, open_as: Open, databases: Databases, make_record: MakeRecord
) -> None:
    record_id = make_record()
    path = f"/medical-records/{record_id}/edit"
    mine = doctor.fill(path, notes="minha")
    edit(open_as("doctor"), record_id, notes="deles")
    doctor.send(path, mine, 409)
    with databases.session(Principal.WORKER) as session:
        seen = session.scalars(
            select(AuditOutbox.to_version).where(
                AuditOutbox.entity_id == record_id, AuditOutbox.action == "medical_record.read_versions"
            )
        ).all()
    assert sorted(number for number in seen if number is not None) == [1, 2]
