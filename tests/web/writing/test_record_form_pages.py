"""The form of a record: what it shows to whom, what it saves, and what it refuses."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from config import Principal
from models import RecordVersion
from models.engine import Databases
from tests.factories.cast import Cast
from tests.web.writing.writer import NEW, MakeRecord, Open, Writer, id_in, inputs_of, record_of, records_of


def test_a_record_is_written_and_shown(doctor: Writer, databases: Databases, cast: Cast, patient_id: uuid.UUID) -> None:
    fields = doctor.fill(
        NEW, patientId=str(patient_id), title="Dor de cabeça", notes="desde ontem\r\nà noite", cid10Codes="R51, I10",
        priority="HIGH", occurredAt="2026-01-02T10:42",
    )  # fmt: skip
    record = record_of(databases, id_in(doctor.send(NEW, fields).headers["Location"]))
    assert (record.title, record.notes, record.priority) == ("Dor de cabeça", "desde ontem\nà noite", "HIGH")
    assert record.cid10_codes == ["R51", "I10"]
    assert record.occurred_at == datetime(2026, 1, 2, 13, 42, tzinfo=UTC), "the clinic's time"
    assert (record.author_id, record.kind, record.diagnosis) == (cast.doctor.id, "CONSULTATION", None)


def test_the_first_submit_button_of_the_page_saves(doctor: Writer, make_record: MakeRecord) -> None:
    for path, words in ((NEW, "Salvar registro"), (f"/medical-records/{make_record()}/edit", "Salvar registro")):
        page = doctor.shown(path)
        assert page.count("<main") == 1
        # Where there are codes to suggest, the form begins with one more, for who has no script.
        submits = re.findall(r'<button[^>]*type="submit"[^>]*>(.*?)</button>', page.split("</main>")[0], re.DOTALL)
        assert submits and all(words in each for each in submits)
        # Enter in a field presses the form's first button of any kind: it is the same one.
        form = re.search(r'<form id="record-form".*?</form>', page, re.DOTALL)
        assert form is not None
        own = [tag for tag in re.findall(r"<button[^>]*>", form[0]) if 'form="' not in tag]
        assert 'type="submit"' in own[0]


def test_the_patient_is_chosen_from_those_at_hand_or_by_name(
    doctor: Writer, open_as: Open, patient_id: uuid.UUID, cast: Cast
) -> None:
    page = doctor.shown(NEW)
    assert f'<option value="{patient_id}">Beatriz Ueda · mãe: Sônia Ueda</option>' in page
    assert f'value="{cast.stranger_id}"' not in page
    token = inputs_of(page)["csrf_token"]
    found = doctor.send(
        f"{NEW}/patient", {"q": "joao estr", "csrf_token": token}, 200,
        **{"HX-Request": "true", "HX-Target": "ul#patient-options"},
    ).get_data(as_text=True)  # fmt: skip
    assert f'data-value="{cast.stranger_id}"' in found and "<html" not in found
    whole = doctor.send(f"{NEW}/patient", {"q": "joao estr", "csrf_token": token}, 200).get_data(as_text=True)
    assert f'href="{NEW}?patientId={cast.stranger_id}"' in whole, "without a script, as links"
    assert f'value="{patient_id}"' not in open_as("doctor2").shown(NEW)


def test_the_chosen_patient_stands_beside_the_form(
    doctor: Writer, open_as: Open, databases: Databases, client: Any, cast: Cast, patient_id: uuid.UUID
) -> None:
    client.post(f"/api/patients/{patient_id}/allergies", json={"substance": "Dipirona"}, headers=cast.doctor.headers)
    token = inputs_of(doctor.shown(NEW))["csrf_token"]
    sent = {"patientId": str(patient_id), "csrf_token": token}
    chosen = doctor.send(f"{NEW}/chosen", sent, 200).get_data(as_text=True)
    assert "Beatriz Ueda" in chosen and "Dipirona" in chosen
    assert "<html" not in chosen
    assert "Dipirona" in doctor.shown(f"{NEW}?patientId={patient_id}")
    outside = open_as("doctor2").shown(f"{NEW}?patientId={patient_id}")
    assert "Você não está na equipe deste paciente" in outside


@pytest.mark.parametrize(
    ("typed", "field"),
    [({"title": ""}, "title"), ({"title": "   "}, "title"), ({"title": "x" * 201}, "title"),
     ({"priority": "URGENT"}, "priority"), ({"cid10Codes": "I10, gripe"}, "cid10Codes"),
     ({"occurredAt": "2099-01-01T10:00"}, "occurredAt"),
     ({"occurredAt": "ontem"}, "occurredAt"), ({"patientId": ""}, "patientId"), ({"patientId": "1"}, "patientId"),
     ({"notes": "x" * 20_001}, "notes")],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_typed_is_lost(
    doctor: Writer, databases: Databases, patient_id: uuid.UUID, typed: dict[str, str], field: str
) -> None:
    fields = doctor.fill(NEW, patientId=str(patient_id), title="Retorno", treatment="Losartana <50 mg>") | typed
    page = doctor.send(NEW, fields, 422).get_data(as_text=True)
    assert f'<a href="#{field}">' in page, "the summary leads to the field"
    assert re.search(rf'id="{field}-error"[^>]*>.*?\w', page)
    assert "Losartana &lt;50 mg&gt;" in page
    assert inputs_of(page)["draftId"] == fields["draftId"], "still the same form"
    assert records_of(databases, patient_id) == 0


@pytest.mark.parametrize(
    ("field", "text", "is_fine"),
    [("cid10Codes", "E11.9 I10", True), ("cid10Codes", "dor", False), ("title", "", False), ("title", "Retorno", True),
     ("occurredAt", "2099-01-01T10:00", False), ("reason", " ", False)],
)  # fmt: skip
def test_a_field_is_checked_when_it_is_left(doctor: Writer, field: str, text: str, is_fine: bool) -> None:
    fields = doctor.fill(NEW) | {field: text, "_field": field}
    answer = doctor.send("/medical-records/check", fields, 200).get_data(as_text=True)
    assert f'id="{field}-error"' in answer
    assert ("<svg" not in answer) is is_fine
    doctor.send("/medical-records/check", fields | {"_field": "authorId"}, 404)


def test_pressing_twice_makes_one_record(doctor: Writer, databases: Databases, patient_id: uuid.UUID) -> None:
    fields = doctor.fill(NEW, patientId=str(patient_id), title="Uma vez")
    first, second = doctor.send(NEW, fields), doctor.send(NEW, fields)
    assert first.headers["Location"] == second.headers["Location"]
    assert records_of(databases, patient_id) == 1


def test_text_changed_after_it_was_saved_is_not_taken_for_saved(
    doctor: Writer, databases: Databases, patient_id: uuid.UUID
) -> None:
    fields = doctor.fill(NEW, patientId=str(patient_id), title="Antes")
    made = id_in(doctor.send(NEW, fields).headers["Location"])
    page = doctor.send(NEW, fields | {"title": "Depois"}, 409).get_data(as_text=True)
    assert f'href="/medical-records/{made}"' in page and 'value="Depois"' in page
    assert records_of(databases, patient_id) == 1


@pytest.mark.parametrize("extra", ["authorId", "status", "version", "closesAt", "search_all", "deletedAt"])
def test_security_20_fields_that_are_not_the_writers_change_nothing(
    doctor: Writer, databases: Databases, patient_id: uuid.UUID, extra: str
) -> None:
    fields = doctor.fill(NEW, patientId=str(patient_id), title="Extra") | {extra: "1"}
    doctor.send(NEW, fields, 422)
    assert records_of(databases, patient_id) == 0


def test_security_14_a_form_of_another_session_or_person_saves_nothing(
    doctor: Writer, open_as: Open, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    fields = doctor.fill(NEW, patientId=str(patient_id), title="De quem?")
    other = open_as("doctor2")
    other.send(NEW, fields, 403)
    # Somebody else who signed in in the same browser has a token of theirs, and this form was not shown to them.
    token = other.get("/live/form-token").get_json()["token"]
    for path in (NEW, "/drafts"):
        other.send(path, fields | {"csrf_token": token}, 403)
    assert records_of(databases, patient_id) == 0
    mine = open_as("doctor").get("/live/form-token").get_json()
    assert mine["user"] == f"{cast.doctor.id}:DOCTOR"


# nurses, outsiders, addenda


def test_a_nurse_begins_triage_notes_only(
    open_as: Open, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    nurse = open_as("nurse")
    fields = nurse.fill(f"{NEW}?patientId={patient_id}", title="Triagem")
    assert fields["kind"] == "TRIAGE"
    record = record_of(databases, id_in(nurse.send(NEW, fields).headers["Location"]))
    assert record.kind == "TRIAGE"
    nurse.send(NEW, nurse.fill(f"{NEW}?patientId={patient_id}", title="x", kind="CONSULTATION"), 403)
    page = nurse.shown(f"{NEW}?patientId={cast.stranger_id}", 403)
    assert "João Estranho" not in page


def test_a_nurse_edits_only_the_priority_of_others_records(
    open_as: Open, databases: Databases, make_record: MakeRecord
) -> None:
    record_id, nurse = make_record(), open_as("nurse")
    path = f"/medical-records/{record_id}/edit"
    fields = nurse.fill(path, priority="CRITICAL")
    assert {"title", "notes", "diagnosis", "kind", "restricted"} & set(fields) == set()
    assert "PA 160 × 100" in nurse.shown(path), "what they only read is there to be read"
    nurse.send(path, fields)
    assert record_of(databases, record_id).priority == "CRITICAL"
    nurse.send(path, nurse.fill(path) | {"notes": "outra"}, 403)
    assert record_of(databases, record_id).notes == "PA 160 × 100"


def test_an_outside_doctor_may_write_and_not_edit(
    open_as: Open, databases: Databases, make_record: MakeRecord, patient_id: uuid.UUID
) -> None:
    record_id, outside = make_record(), open_as("doctor2")
    page = outside.shown(f"/medical-records/{record_id}/edit", 403)
    assert "PA 160" not in page
    outside.send(NEW, outside.fill(f"{NEW}?patientId={patient_id}", title="De fora"))
    page = outside.shown(f"{NEW}?amendsId={record_id}", 403)
    assert "PA 160" not in page


def test_an_addendum_shows_the_record_it_amends(
    open_as: Open, databases: Databases, make_record: MakeRecord
) -> None:
    record_id, nurse = make_record(closed=True), open_as("nurse")
    page = nurse.shown(f"{NEW}?amendsId={record_id}")
    assert "PA 160 × 100" in page and "Retorno" in page
    fields = inputs_of(page) | {"title": "Adendo", "notes": "Nega cefaleia."}
    assert "kind" not in fields
    made = record_of(databases, id_in(nurse.send(NEW, fields).headers["Location"]))
    assert (made.amends_id, made.kind) == (record_id, "ADDENDUM")


# edit


def test_saving_an_untouched_form_changes_nothing(
    doctor: Writer, databases: Databases, make_record: MakeRecord
) -> None:
    """Inputs drop seconds and change line breaks: that is no edit."""
    record_id = make_record(notes="um\r\ndois\rtrês\n", title="Duas\nlinhas", cid10Codes=["I10", "E11.9"])
    path = f"/medical-records/{record_id}/edit"
    fields = doctor.fill(path)
    fields = {name: text.replace("\n", "\r\n") for name, text in fields.items()}
    before = record_of(databases, record_id)
    doctor.send(path, fields)
    after = record_of(databases, record_id)
    assert (after.version, after.occurred_at, after.notes) == (1, before.occurred_at, "um\r\ndois\rtrês\n")


def test_only_what_was_touched_is_saved(doctor: Writer, databases: Databases, make_record: MakeRecord) -> None:
    record_id = make_record(title="Duas\nlinhas", restricted=True)
    path = f"/medical-records/{record_id}/edit"
    fields = doctor.fill(path, notes="outra")
    assert fields["restricted"] == "true"
    doctor.send(path, fields)
    record = record_of(databases, record_id)
    assert (record.notes, record.title, record.restricted, record.version) == ("outra", "Duas\nlinhas", True, 2)
    doctor.send(path, doctor.fill(path, restricted="false"))
    assert record_of(databases, record_id).restricted is False
    page = doctor.send(path, doctor.fill(path, cid10Codes="F32", restricted="false")).headers["Location"]
    assert record_of(databases, id_in(page)).restricted is True, "restricted by law, whatever was not ticked"


def test_a_closed_record_is_corrected_with_a_reason(
    doctor: Writer, databases: Databases, make_record: MakeRecord
) -> None:
    record_id = make_record(closed=True)
    path = f"/medical-records/{record_id}/edit"
    fields = doctor.fill(path, notes="PA 150 × 90")
    assert 'href="#reason"' in doctor.send(path, fields, 422).get_data(as_text=True)
    doctor.send(path, fields | {"reason": "medida refeita"})
    with databases.session(Principal.STAFF) as session:
        assert session.get_one(RecordVersion, (record_id, 2)).reason == "medida refeita"


def test_a_version_that_never_was_is_refused(doctor: Writer, make_record: MakeRecord) -> None:
    path = f"/medical-records/{make_record()}/edit"
    for version in ("", "0", "9", "x"):
        doctor.send(path, doctor.fill(path, notes="y") | {"version": version}, 422)
