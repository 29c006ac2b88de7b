"""The masking table against the product's, and its two renderings against each other."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config import Principal, Settings
from models import BreakGlassGrant, MedicalRecord, Patient, Role
from models.engine import Databases
from models.record import CLINICAL_TEXT_MAX, KINDS, PRIORITIES
from services.access import RecordAccess, patient_standing
from services.actor import Actor
from services.masking import (
    FIELDS,
    RESTRICTED_VISIBLE,
    Relation,
    Visibility,
    apply,
    mask_for,
    partial,
    role_relation,
    visibility,
)
from services.masking_sql import sql_mask
from services.record_get import get_record
from services.record_list import RecordFilters, list_records
from services.record_view import record_etag, show_record
from tests.factories.cast import Cast, join_team, make_patient, make_person

CLEAR, PARTIAL, HIDDEN = Visibility.CLEAR, Visibility.PARTIAL, Visibility.HIDDEN

# The product's table, written down a second time on purpose: field → what each column of it says.
TEAM, OUTSIDE, OWN, RECEPTION, ADMIN, AUDITOR = Relation
EXPECTED = {
    ("patient", "fullName"): (CLEAR, CLEAR, CLEAR, CLEAR, CLEAR, HIDDEN),
    ("patient", "socialName"): (CLEAR, CLEAR, CLEAR, CLEAR, CLEAR, HIDDEN),
    ("patient", "birthDate"): (CLEAR, CLEAR, CLEAR, CLEAR, CLEAR, HIDDEN),
    ("patient", "phone"): (CLEAR, CLEAR, CLEAR, CLEAR, CLEAR, HIDDEN),
    ("patient", "cpf"): (CLEAR, PARTIAL, CLEAR, CLEAR, PARTIAL, HIDDEN),
    ("patient", "cns"): (CLEAR, PARTIAL, CLEAR, CLEAR, PARTIAL, HIDDEN),
    ("patient", "passport"): (CLEAR, PARTIAL, CLEAR, CLEAR, PARTIAL, HIDDEN),
    ("record", "kind"): (CLEAR, CLEAR, CLEAR, CLEAR, CLEAR, HIDDEN),
    ("record", "priority"): (CLEAR, CLEAR, CLEAR, CLEAR, CLEAR, HIDDEN),
    ("record", "author"): (CLEAR, CLEAR, CLEAR, CLEAR, CLEAR, HIDDEN),
    ("record", "title"): (CLEAR, CLEAR, CLEAR, HIDDEN, HIDDEN, HIDDEN),
    ("allergy", "substance"): (CLEAR, CLEAR, CLEAR, HIDDEN, HIDDEN, HIDDEN),
    ("record", "diagnosis"): (CLEAR, HIDDEN, CLEAR, HIDDEN, HIDDEN, HIDDEN),
    ("record", "treatment"): (CLEAR, HIDDEN, CLEAR, HIDDEN, HIDDEN, HIDDEN),
    ("record", "notes"): (CLEAR, HIDDEN, CLEAR, HIDDEN, HIDDEN, HIDDEN),
    ("record", "cid10Codes"): (CLEAR, HIDDEN, CLEAR, HIDDEN, HIDDEN, HIDDEN),
}


@pytest.mark.parametrize(("entity", "field"), EXPECTED)
def test_the_table_is_the_products(entity: str, field: str) -> None:
    assert tuple(visibility(entity, field, relation) for relation in Relation) == EXPECTED[entity, field]


def test_a_field_that_is_not_listed_is_hidden() -> None:
    for relation in Relation:
        assert visibility("record", "aFieldOfTomorrow", relation) is HIDDEN


def test_a_restricted_record_outside_the_team_is_kind_date_and_author() -> None:
    for relation in (OUTSIDE, RECEPTION, ADMIN):
        seen = {
            field
            for entity, field in FIELDS
            if entity == "record" and visibility("record", field, relation, restricted=True) is CLEAR
        }
        assert seen == {"kind", "occurredAt", "author"}, relation
    for relation in (TEAM, OWN):
        assert mask_for("record", relation, restricted=True).masked_fields == ()


def test_the_desk_sees_a_complaint_until_the_visit_is_past() -> None:
    for restricted in (False, True):
        assert visibility("visit", "reason", RECEPTION, restricted=restricted, past=True) is HIDDEN
        assert "reason" in mask_for("visit", RECEPTION, restricted=restricted, past=True).masked_fields
    assert visibility("visit", "reason", RECEPTION) is CLEAR
    for relation in (TEAM, OUTSIDE, OWN):
        assert mask_for("visit", relation, past=True) == mask_for("visit", relation), relation


@pytest.mark.parametrize("entity", sorted({entity for entity, _ in FIELDS}))
@pytest.mark.parametrize("role", Role)
def test_the_table_in_sql_says_what_it_says_in_python(databases: Databases, entity: str, role: Role) -> None:
    """Every field of every kind of thing, for whoever asks: inside and outside, restricted (where it can be), past."""
    either = "(VALUES (TRUE), (FALSE))"
    mask = sql_mask(entity, role)
    fields = [field for kind, field in FIELDS if kind == entity]
    shown = ", ".join(f"{mask.field(field, 'TRUE')}::boolean IS NOT NULL, {mask.is_clear(field)}" for field in fields)
    query = f"""
        SELECT s.inside, s.restricted, s.past, {mask.privacy()}, {mask.tag()}, {shown}
        FROM {either} a (inside), {either} b (restricted), {either} c (past),
            LATERAL (SELECT a.inside, b.restricted, c.past) s
    """
    with databases.autocommit(Principal.STAFF) as connection:
        rows = connection.execute(query).fetchall()
    assert len(rows) == 8
    for inside, restricted, past, privacy, tag, *clear in rows:
        is_restricted = restricted and entity in RESTRICTED_VISIBLE
        python = mask_for(entity, role_relation(role, in_team=inside), restricted=is_restricted, past=past)
        wanted = [python.fields[field] is CLEAR for field in fields]
        assert (clear[0::2], clear[1::2]) == (wanted, wanted)
        assert (privacy, tag) == (python.privacy(), python.tag)


def test_partial_documents() -> None:
    assert partial("cpf", "52998224725") == "***.982.247-**"
    assert partial("cns", "700000000000005") == "*** **** **** 0005"
    assert partial("passport", "FX123456") == "*****456"
    assert partial("passport", "AB12") == "****"
    assert partial("cpf", None) is None


@given(
    relation=st.sampled_from(list(Relation)),
    restricted=st.booleans(),
    values=st.fixed_dictionaries({field: st.text(min_size=1) for entity, field in FIELDS if entity == "record"}),
)
def test_apply_shows_nothing_that_is_not_clear(relation: Relation, restricted: bool, values: dict[str, str]) -> None:
    mask = mask_for("record", relation, restricted=restricted)
    shown = apply(mask, values)
    assert shown.keys() == values.keys()
    for field, value in shown.items():
        assert value == (values[field] if mask.fields[field] is CLEAR else None)
        assert (field in mask.masked_fields) == (mask.fields[field] is not CLEAR)


def test_masks_that_differ_have_different_tags() -> None:
    masks = [mask_for("record", relation, restricted=r) for relation in Relation for r in (False, True)]
    tags = {(mask.masked_fields, mask.reason): mask.tag for mask in masks}
    assert len(set(tags.values())) == len(tags)
    assert mask_for("record", TEAM).tag == ""


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)


@pytest.fixture(scope="module")
def readers(databases: Databases, settings: Settings, cast: Cast) -> dict[str, Actor]:
    return {name: person.actor for name, person in cast.people.items() if name != "auditor"}


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_sql_and_python_mask_alike(
    databases: Databases, settings: Settings, cast: Cast, readers: dict[str, Actor], data: st.DataObject
) -> None:
    """For any record and any reader, what PostgreSQL builds is what Python's engine says."""
    author = data.draw(st.sampled_from([cast.doctor, cast.doctor2, cast.nurse]))
    values: dict[str, Any] = {
        "kind": data.draw(st.sampled_from([kind for kind in KINDS if kind != "ADDENDUM"])),
        "title": data.draw(TEXT),
        "diagnosis": data.draw(st.none() | TEXT),
        "treatment": data.draw(st.none() | TEXT),
        "notes": data.draw(st.none() | TEXT),
        "cid10_codes": data.draw(st.lists(st.sampled_from(["I10", "B20", "E11.9"]), max_size=2)),
        "priority": data.draw(st.sampled_from(PRIORITIES)),
        "restricted": data.draw(st.booleans()),
        "occurred_at": data.draw(
            st.datetimes(datetime(1990, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
        ),
        "closes_at": data.draw(st.sampled_from([datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)])),
    }
    with databases.session(Principal.STAFF) as session:
        written = MedicalRecord(patient_id=cast.patient_id, author_id=author.id, **values)
        session.add(written)
    for name, actor in readers.items():
        if name == "stranger":
            continue
        with databases.session(Principal.STAFF) as session:
            record = session.get_one(MedicalRecord, written.id)
            standing = patient_standing(session, actor, session.get_one(Patient, record.patient_id))
            is_author = actor.role.is_clinical and record.author_id == actor.user_id
            access = RecordAccess(record, session.get_one(Patient, record.patient_id), standing, is_author)
            python, tag = show_record(session, access), record_etag(access)
        page = get_record(databases, actor, written.id)
        assert json.loads(page.data) == python, name
        assert page.etag == tag


def test_break_glass_opens_one_patient_for_reading_and_then_no_more(databases: Databases, settings: Settings) -> None:
    doctor = make_person(databases, Role.DOCTOR, "Fora Daqui")
    own = make_person(databases, Role.DOCTOR, "Da Casa")
    patient = make_patient(databases, settings, "Emergência")
    join_team(databases, patient, own.id)
    with databases.session(Principal.STAFF) as session:
        record = MedicalRecord(
            patient_id=patient, author_id=own.id, kind="EXAM", title="t", diagnosis="d", priority="LOW",
            occurred_at=datetime.now(UTC), closes_at=datetime.now(UTC), cid10_codes=[], restricted=True,
        )  # fmt: skip
        session.add(record)

    def sees() -> tuple[Any, Any]:
        one = json.loads(get_record(databases, doctor.actor, record.id).data)
        listed = json.loads(list_records(databases, doctor.actor, RecordFilters(patient_id=patient)).data)
        return one["diagnosis"], listed[0]["diagnosis"]

    assert sees() == (None, None)
    with databases.session(Principal.STAFF) as session:
        grant = BreakGlassGrant(
            patient_id=patient, user_id=doctor.id, acting_role="DOCTOR", reason="Emergência no pronto-socorro",
            expires_at=datetime.now(UTC) + timedelta(minutes=30),
        )  # fmt: skip
        session.add(grant)
    assert sees() == ("d", "d")
    with databases.session(Principal.MIGRATOR) as session:  # staff may end an access, not date it back
        ended = session.get_one(BreakGlassGrant, grant.id)
        ended.granted_at = datetime.now(UTC) - timedelta(minutes=31)
        ended.expires_at = datetime.now(UTC) - timedelta(minutes=1)
    assert sees() == (None, None)


def test_clinical_texts_fit_the_search_vector() -> None:
    """Four texts at their limit stay below PostgreSQL's 1 MiB for a tsvector even when every word differs."""
    assert 4 * CLINICAL_TEXT_MAX < 2**20
