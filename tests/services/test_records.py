"""Writing, reading and masking records through the services, as everybody of the cast."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from config import Principal, Settings
from models.engine import Databases
from services.errors import Conflict, Forbidden, Gone, Invalid, NotFound, PreconditionRequired, StaleVersion
from services.field_encryption import FieldCipher
from services.record_close import close_record
from services.record_create import NewRecord, create_record
from services.record_get import get_record
from services.record_inactivate import inactivate_record, restore_record
from services.record_list import RecordFilters, list_records, search_records
from services.record_update import may_update, update_record
from services.record_versions import get_version, list_versions
from services.record_view import record_etag, show_record
from tests.factories.cast import Cast, Person, make_patient

CLINICAL = {"diagnosis": "Hipertensão arterial", "treatment": "Losartana 50 mg", "notes": "Retorno em 30 dias"}


def write(
    databases: Databases, cipher: FieldCipher, person: Person, patient_id: uuid.UUID, **content: Any
) -> uuid.UUID:
    values = {"title": "Consulta", **CLINICAL, **content}
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(patient_id, values)
        return create_record(session, person.actor, cipher, new).record.id


def read(databases: Databases, person: Person, record_id: uuid.UUID, **options: Any) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(get_record(databases, person.actor, record_id, **options).data)
    return shown


def change(
    databases: Databases, cipher: FieldCipher, person: Person, record_id: uuid.UUID, version: int | None, **content: Any
) -> int:
    reason = content.pop("reason", None)
    with databases.session(Principal.STAFF) as session:
        access = may_update(session, person.actor, record_id)
        return update_record(
            session, person.actor, cipher, access, version=version, content=content, reason=reason
        ).record.version


def test_the_care_team_sees_everything_and_others_what_the_table_says(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    record_id = write(databases, cipher, cast.doctor, cast.patient_id, cid10Codes=["I10"])
    for name in ("doctor", "nurse", "patient"):
        shown = read(databases, cast.people[name], record_id)
        assert shown["diagnosis"] == CLINICAL["diagnosis"], name
        assert shown["privacy"] == {"maskedFields": [], "reason": None}
    outside = read(databases, cast.doctor2, record_id)
    assert outside["title"] == "Consulta"
    assert [outside[field] for field in ("diagnosis", "treatment", "notes", "cid10Codes")] == [None] * 4
    assert outside["privacy"]["reason"] == "outside-care-team"
    for name in ("reception", "admin"):
        shown = read(databases, cast.people[name], record_id)
        assert shown["title"] is None and shown["diagnosis"] is None
        assert shown["kind"] == "CONSULTATION" and shown["priority"] == "NORMAL"
    with pytest.raises(Forbidden):
        get_record(databases, cast.auditor.actor, record_id)
    with pytest.raises(NotFound):
        get_record(databases, cast.stranger.actor, record_id)


def test_a_restricted_record_shows_its_caption_only(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    record_id = write(databases, cipher, cast.doctor, cast.patient_id, cid10Codes=["B20"], priority="HIGH")
    outside = read(databases, cast.doctor2, record_id)
    assert outside["title"] is None and outside["priority"] is None and outside["restricted"] is None
    assert outside["kind"] == "CONSULTATION" and outside["author"]["name"] == "Ana Moura"
    assert read(databases, cast.doctor, record_id)["restricted"] is True
    with pytest.raises(Invalid):
        write(databases, cipher, cast.doctor, cast.patient_id, cid10Codes=["F32"], restricted=False)


def test_an_author_outside_the_team_sees_what_they_wrote_and_only_that(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    own = write(databases, cipher, cast.doctor2, cast.patient_id)
    other = write(databases, cipher, cast.doctor, cast.patient_id)
    assert read(databases, cast.doctor2, own)["diagnosis"] == CLINICAL["diagnosis"]
    assert read(databases, cast.doctor2, other)["diagnosis"] is None


def test_sql_and_python_show_the_same(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    with databases.session(Principal.STAFF) as session:
        access = create_record(
            session, cast.doctor.actor, cipher, NewRecord(cast.patient_id, {"title": "Igual", **CLINICAL})
        )
        shown, tag, record_id = show_record(session, access), record_etag(access), access.record.id
    page = get_record(databases, cast.doctor.actor, record_id)
    assert json.loads(page.data) == shown
    assert page.etag == tag == '"1"'


def test_a_filter_on_a_masked_priority_finds_nothing(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    record_id = write(databases, cipher, cast.doctor, cast.patient_id, cid10Codes=["B24"], priority="CRITICAL")
    filters = RecordFilters(patient_id=cast.patient_id, priority="CRITICAL")

    def ids(person: Person) -> set[str]:
        return {row["id"] for row in json.loads(list_records(databases, person.actor, filters, limit=100).data)}

    assert str(record_id) in ids(cast.doctor)
    for name in ("doctor2", "reception", "admin"):
        assert str(record_id) not in ids(cast.people[name]), name


def test_search_folds_accents_and_betrays_no_masked_word(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    patient_id = make_patient(databases, settings, "Busca")
    write(
        databases,
        cipher,
        cast.doctor,
        patient_id,
        title="Retorno de rotina",
        diagnosis="Hipertensão essencial zoroastro",
    )

    def found(person: Person, q: str) -> int:
        return len(json.loads(search_records(databases, person.actor, RecordFilters(patient_id=patient_id, q=q)).data))

    assert found(cast.doctor, "hipertensao") == 1
    assert found(cast.doctor, "HIPERTENSÃO zoroastro") == 1
    assert found(cast.doctor2, "zoroastro") == 0
    assert found(cast.doctor2, "rotina") == 1
    assert found(cast.reception, "rotina") == 0


def test_pages_by_cursor_cover_everything_once(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    patient_id = make_patient(databases, settings, "Páginas")
    written = {str(write(databases, cipher, cast.doctor, patient_id, title=f"Nota {n} rotina")) for n in range(7)}
    for reader, filters in (
        (list_records, RecordFilters(patient_id=patient_id)),
        (search_records, RecordFilters(patient_id=patient_id, q="rotina")),
    ):
        seen, cursor = [], None
        while True:
            page = reader(databases, cast.doctor.actor, filters, limit=3, cursor=cursor)
            seen += [row["id"] for row in json.loads(page.data)]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert len(seen) == 7 and set(seen) == written
    with pytest.raises(Invalid):
        list_records(databases, cast.doctor.actor, RecordFilters(), cursor="bm9uc2Vuc2U")


def test_update_needs_the_version_and_names_what_conflicts(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    record_id = write(databases, cipher, cast.doctor, cast.patient_id)
    assert change(databases, cipher, cast.doctor, record_id, 1, diagnosis="Outra") == 2
    with pytest.raises(StaleVersion) as stale:
        change(databases, cipher, cast.doctor, record_id, 1, diagnosis="Terceira", notes=CLINICAL["notes"])
    assert stale.value.current_version == 2
    assert stale.value.conflicting_fields == ("diagnosis",)
    with pytest.raises(PreconditionRequired):
        change(databases, cipher, cast.doctor, record_id, None, diagnosis="Terceira")
    assert change(databases, cipher, cast.doctor, record_id, 2, diagnosis="Outra") == 2, "nothing changed, no version"
    with pytest.raises(Forbidden):
        change(databases, cipher, cast.doctor2, record_id, 2, diagnosis=None)
    assert read(databases, cast.doctor, record_id)["diagnosis"] == "Outra"


def test_nurses_change_priority_and_nothing_else_of_others(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    record_id = write(databases, cipher, cast.doctor, cast.patient_id)
    assert change(databases, cipher, cast.nurse, record_id, 1, priority="HIGH") == 2
    with pytest.raises(Forbidden) as refused:
        change(databases, cipher, cast.nurse, record_id, 2, priority="LOW", notes="x")
    assert refused.value.pointers == ("/notes",)
    with pytest.raises(Forbidden):
        write(databases, cipher, cast.nurse, cast.patient_id, kind="CONSULTATION")
    own = write(databases, cipher, cast.nurse, cast.patient_id, kind="TRIAGE", title="Triagem")
    assert change(databases, cipher, cast.nurse, own, 1, notes="PA 12x8") == 2
    with pytest.raises(Forbidden):
        write(databases, cipher, cast.nurse2, cast.patient_id, kind="TRIAGE", title="Triagem")


def test_once_closed_only_the_author_corrects_with_a_reason(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    record_id = write(databases, cipher, cast.doctor, cast.patient_id)
    with databases.session(Principal.STAFF) as session:
        assert close_record(session, cast.doctor.actor, cipher, record_id).record.version == 2
    with pytest.raises(Forbidden), databases.session(Principal.STAFF) as session:
        close_record(session, cast.nurse.actor, cipher, record_id)
    assert read(databases, cast.doctor, record_id)["status"] == "CLOSED"
    with pytest.raises(Invalid):
        change(databases, cipher, cast.doctor, record_id, 2, notes="Correção")
    assert change(databases, cipher, cast.doctor, record_id, 2, notes="Correção", reason="Dose trocada") == 3
    with pytest.raises(Forbidden):
        change(databases, cipher, cast.nurse, record_id, 3, priority="LOW")
    with databases.session(Principal.STAFF) as session:
        addendum = create_record(
            session, cast.nurse.actor, cipher, NewRecord(cast.patient_id, {"title": "Adendo"}, amends_id=record_id)
        )
        assert addendum.record.kind == "ADDENDUM"
    with pytest.raises(Forbidden), databases.session(Principal.STAFF) as session:
        create_record(
            session, cast.doctor2.actor, cipher, NewRecord(cast.patient_id, {"title": "Adendo"}, amends_id=record_id)
        )


def test_inactivation_takes_a_reason_and_can_be_undone(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    record_id = write(databases, cipher, cast.doctor, cast.patient_id)

    def inactivate(person: Person, reason: str | None) -> None:
        with databases.session(Principal.STAFF) as session:
            inactivate_record(session, person.actor, cipher, record_id, reason=reason)

    with pytest.raises(Invalid):
        inactivate(cast.doctor, " ")
    with pytest.raises(Forbidden):
        inactivate(cast.nurse, "engano")
    inactivate(cast.doctor, "engano")
    with pytest.raises(Gone):
        get_record(databases, cast.doctor.actor, record_id)
    with pytest.raises(Gone):
        inactivate(cast.doctor, "engano")
    for name in ("doctor2", "reception", "patient"):
        with pytest.raises(NotFound):
            get_record(databases, cast.people[name].actor, record_id)
    assert read(databases, cast.doctor, record_id, include_deleted=True)["deletedAt"] is not None
    listed = list_records(databases, cast.doctor.actor, RecordFilters(include_deleted=True), limit=100)
    assert str(record_id).encode() in listed.data
    with databases.session(Principal.STAFF) as session:
        assert restore_record(session, cast.doctor.actor, cipher, record_id, reason="era válido").record.version == 3
    with pytest.raises(Conflict), databases.session(Principal.STAFF) as session:
        restore_record(session, cast.doctor.actor, cipher, record_id, reason="de novo")
    assert read(databases, cast.doctor, record_id)["deletedAt"] is None


def test_versions_pass_through_todays_mask(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    record_id = write(databases, cipher, cast.doctor, cast.patient_id)
    change(databases, cipher, cast.doctor, record_id, 1, diagnosis="Nova")
    with databases.session(Principal.STAFF) as session:
        inside = list_versions(session, cast.doctor.actor, record_id)
        outside = get_version(session, cast.doctor2.actor, record_id, 1)
    assert [version["diagnosis"] for version in inside] == ["Nova", CLINICAL["diagnosis"]]
    assert inside[0]["changedBy"]["name"] == "Ana Moura"
    assert outside["diagnosis"] is None and "diagnosis" in outside["privacy"]["maskedFields"]
    with databases.session(Principal.STAFF) as session, pytest.raises(NotFound):
        get_version(session, cast.doctor.actor, record_id, 9)
