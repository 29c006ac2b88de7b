"""Listing and searching patients, and the quota of exact look-ups."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from config import Principal, Settings
from models import AuditOutbox, IdentifierLookup, Setting, new_id
from models.engine import Databases
from models.user import Role
from services.break_glass import break_glass
from services.errors import DuplicateIdentifier, Forbidden, Invalid, QuotaExceeded, ServiceError
from services.field_encryption import FieldCipher, field_cipher
from services.identifier_lookup import counted_duplicates
from services.patient_create import create_patient
from services.patient_inactivate import inactivate_patient
from services.patient_list import PatientSearch, list_patients, name_words, search_patients
from tests.factories.cast import Cast, Person, join_team, make_cpf, make_patient, make_person


def find(databases: Databases, cipher: FieldCipher, person: Person, **search: Any) -> list[dict[str, Any]]:
    page = search_patients(databases, person.actor, cipher, PatientSearch(**search), limit=100)
    rows: list[dict[str, Any]] = json.loads(page.data)
    return rows


def last_event(databases: Databases, person: Person) -> AuditOutbox:
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox).where(AuditOutbox.actor_id == person.id).order_by(AuditOutbox.id.desc()).limit(1)
        return session.scalars(query).one()


def doctor(databases: Databases) -> Person:
    """Somebody whose look-ups no other test counts."""
    return make_person(databases, Role.DOCTOR, "Doutora Busca")


def test_names_are_found_by_the_beginnings_of_words_without_accents(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    patient_id = make_patient(
        databases, settings, "Quitéria d'Ávila-Brandão", social_name="Ximena Çelik", mother_name="Zoroastra"
    )
    for q in ("quiteria", "QUITÉ avil", "brandao quit", "d'avila", "ximena", "xim celi", "Ávila-Brandão"):
        assert str(patient_id) in {row["id"] for row in find(databases, cipher, cast.reception, q=q)}, q
    for q in ("uiteria", "quiteria souza", "zoroastra"):
        assert str(patient_id) not in {row["id"] for row in find(databases, cipher, cast.reception, q=q)}, q
    assert last_event(databases, cast.reception).action == "patient.search"


@pytest.mark.parametrize(
    "q", ["' | ''", "zqzq | ana", "!zqzq", "ana & !zqzq:*", "\\", "')--", "<->", "“aspas”", "x" * 200, "😀", "ﷺ" * 40]
)
def test_nothing_typed_is_an_operator(databases: Databases, cast: Cast, cipher: FieldCipher, q: str) -> None:
    nobody = make_person(databases, Role.DOCTOR, "Doutora Curiosa")
    try:
        assert find(databases, cipher, nobody, q=q) == []
    except Invalid as refused:
        pointers = [error.pointer for error in refused.errors]
    else:
        pointers = ["/q"]
    assert pointers == ["/q"]


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_words_are_only_quoted_prefixes(q: str) -> None:
    try:
        words = name_words(q)
    except Invalid:
        return
    for word in words.split(" & "):
        assert word.startswith("'") and word.endswith("':*")
        assert not set(word[1:-3]) & set("'\\&|!<>():* ")


def test_a_search_says_what_for(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    for search in ({}, {"q": " "}, {"q": "a " * 11}, {"cpf": "123"}, {"cns": "100000000000015"}, {"q": "x" * 201}):
        with pytest.raises(Invalid):
            find(databases, cipher, cast.doctor, **search)
    with pytest.raises(Forbidden):
        find(databases, cipher, cast.auditor, q="ana")
    with pytest.raises(Forbidden):
        find(databases, cipher, cast.patient, cpf="52998224725")


def test_pages_follow_the_folded_name_and_cover_everything_once(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    names = ["Zilda Paginada", "Ávila Paginada", "avila Paginada", "Bia Paginada", "Érica Paginada"]
    made = {str(make_patient(databases, settings, name)): name for name in names}
    seen: list[str] = []
    cursor = None
    while True:
        page = search_patients(
            databases, cast.reception.actor, cipher, PatientSearch(q="paginada"), limit=2, cursor=cursor
        )
        seen += [row["id"] for row in json.loads(page.data)]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert "paginada" not in cursor
    assert sorted(seen) == sorted(made)
    shown = [made[patient_id] for patient_id in seen]
    assert shown[2:] == ["Bia Paginada", "Érica Paginada", "Zilda Paginada"]
    with pytest.raises(Invalid):
        list_patients(databases, cast.reception.actor, cipher, cursor=page_cursor(databases, cast, cipher))


def page_cursor(databases: Databases, cast: Cast, cipher: FieldCipher) -> str | None:
    search = PatientSearch(q="paginada")
    return search_patients(databases, cast.reception.actor, cipher, search, limit=1).next_cursor


def test_the_list_neither_skips_nor_repeats_and_is_one_event_a_page(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    before = {str(make_patient(databases, settings, f"Listada {n}")) for n in range(5)}
    seen: list[str] = []
    cursor = None
    while True:
        page = list_patients(databases, cast.doctor2.actor, cipher, limit=3, cursor=cursor)
        ids = [row["id"] for row in json.loads(page.data)]
        assert [str(shown) for shown in last_event(databases, cast.doctor2).entity_ids or ()] == ids
        make_patient(databases, settings, "Aaron Inserido")
        seen += ids
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) and before <= set(seen)


def test_rows_are_masked_one_by_one(databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher) -> None:
    inside_cpf, outside_cpf = make_cpf(), make_cpf()
    inside = make_patient(databases, settings, "Mascarada Dentro", cpf=inside_cpf)
    outside = make_patient(databases, settings, "Mascarada Fora", cpf=outside_cpf)
    join_team(databases, inside, cast.doctor.id)
    rows = {row["id"]: row for row in find(databases, cipher, cast.doctor, q="mascarada")}
    assert rows[str(inside)]["cpf"].endswith(inside_cpf[9:]) and rows[str(inside)]["privacy"]["maskedFields"] == []
    assert rows[str(outside)]["cpf"] == f"***.{outside_cpf[3:6]}.{outside_cpf[6:9]}-**"
    with databases.session(Principal.STAFF) as session:
        break_glass(session, cast.doctor.actor, outside, reason="paciente inconsciente na sala")
    rows = {row["id"]: row for row in find(databases, cipher, cast.doctor, q="mascarada")}
    assert rows[str(outside)]["cpf"].endswith(outside_cpf[9:])
    for row in find(databases, cipher, cast.admin, q="mascarada"):
        assert row["cpf"].startswith("***.")


def test_a_patient_lists_themselves_only(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    page = list_patients(databases, cast.patient.actor, cipher, limit=100)
    assert [row["id"] for row in json.loads(page.data)] == [str(cast.patient_id)]
    assert page.next_cursor is None


def test_inactive_patients_show_on_request_only(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    patient_id = make_patient(databases, settings, "Inativada Busca")
    with databases.session(Principal.STAFF) as session:
        inactivate_patient(session, cast.reception.actor, cipher, patient_id, reason="engano")
    assert find(databases, cipher, cast.reception, q="inativada") == []
    (row,) = find(databases, cipher, cast.reception, q="inativada", include_deleted=True)
    assert row["deletedAt"] is not None


def test_security_23_exact_look_up_is_limited_to_five_an_hour_found_or_not(
    databases: Databases, settings: Settings, cipher: FieldCipher
) -> None:
    person, cpf = doctor(databases), make_cpf()
    patient_id = make_patient(databases, settings, "Procurada", cpf=cpf)
    (row,) = find(databases, cipher, person, cpf=f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}")
    assert row["id"] == str(patient_id) and row["cpf"].startswith("***.")
    found = last_event(databases, person)
    assert (found.action, found.outcome, found.patient_id) == ("patient.lookup", "success", patient_id)
    for _ in range(4):
        assert find(databases, cipher, person, cpf=make_cpf()) == []
    with pytest.raises(QuotaExceeded) as refused:
        find(databases, cipher, person, cpf=cpf)
    assert 3590 < refused.value.retry_after <= 3600
    assert cpf not in refused.value.detail
    denied = last_event(databases, person)
    assert (denied.action, denied.outcome, denied.entity_ids) == ("patient.lookup", "refused", None)
    assert find(databases, cipher, person, q="procurada"), "names stay searchable"


def test_security_23_retry_after_is_true(databases: Databases, settings: Settings, cipher: FieldCipher) -> None:
    person = doctor(databases)
    with databases.session(Principal.STAFF) as session:
        for minutes in (59, 40, 30, 20, 10):
            session.execute(
                text(
                    "INSERT INTO identifier_lookups (id, user_id, occurred_at) "
                    "VALUES (:id, :me, now() - make_interval(mins => :minutes))"
                ),
                {"id": new_id(), "me": person.id, "minutes": minutes},
            )
    with pytest.raises(QuotaExceeded) as refused:
        find(databases, cipher, person, cns="700000000000005")
    assert 55 <= refused.value.retry_after <= 60
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(
            update(IdentifierLookup)
            .where(IdentifierLookup.user_id == person.id)
            .values(occurred_at=IdentifierLookup.occurred_at - text(f"interval '{refused.value.retry_after} seconds'"))
        )
    find(databases, cipher, person, cns="700000000000005")


def test_security_23_simultaneous_look_ups_are_counted_exactly(databases: Databases, cipher: FieldCipher) -> None:
    person = make_person(databases, Role.ADMIN, "Administradora Busca")
    start = threading.Barrier(20)
    outcomes: list[str] = []

    def attempt() -> None:
        start.wait(timeout=10)
        try:
            find(databases, cipher, person, cpf=make_cpf())
            outcomes.append("passed")
        except QuotaExceeded:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(outcomes) == ["passed"] * 5 + ["refused"] * 15
    with databases.session(Principal.STAFF) as session:
        query = select(func.count()).select_from(IdentifierLookup).where(IdentifierLookup.user_id == person.id)
        assert session.scalar(query) == 5


def test_security_23_registering_is_no_way_round_the_limit(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    """That a number is taken answers the same question as a look-up, so it counts as one."""
    person, taken = doctor(databases), make_cpf()
    make_patient(databases, settings, "Dona", cpf=taken)

    def register(who: Person, cpf: str) -> None:
        content = {"fullName": "Sondada", "sex": "UNKNOWN", "cpf": cpf}
        with Session(databases.engine(Principal.STAFF), expire_on_commit=False) as session:
            try:
                with counted_duplicates(session, who.actor, content):
                    create_patient(session, who.actor, cipher, content)
                session.commit()
            except ServiceError as error:
                if error.keeps_record:  # as an entry point does
                    session.commit()
                raise

    def attempt(start: threading.Barrier, outcomes: list[str]) -> None:
        start.wait(timeout=10)
        try:
            register(person, taken)
        except ServiceError as error:
            outcomes.append(type(error).__name__)

    for _ in range(6):
        register(person, make_cpf())
    start, outcomes = threading.Barrier(3), list[str]()
    threads = [threading.Thread(target=attempt, args=(start, outcomes)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert outcomes == ["DuplicateIdentifier"] * 3
    for _ in range(2):
        find(databases, cipher, person, cpf=make_cpf())
    for cpf in (taken, make_cpf()):
        with pytest.raises(QuotaExceeded):
            register(person, cpf)
    for _ in range(6):
        with pytest.raises(DuplicateIdentifier):
            register(cast.reception, taken)


def test_those_who_see_the_number_anyway_are_not_counted(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    person, cpf = doctor(databases), make_cpf()
    patient_id = make_patient(databases, settings, "Própria", cpf=cpf)
    join_team(databases, patient_id, person.id)
    for _ in range(6):
        assert find(databases, cipher, person, cpf=cpf)[0]["privacy"]["maskedFields"] == []
        assert find(databases, cipher, cast.reception, cpf=make_cpf()) == []


def test_the_clinic_sets_how_many(fresh_databases: Databases, fresh_settings: Settings) -> None:
    person, cipher = doctor(fresh_databases), field_cipher(fresh_settings)
    with fresh_databases.session(Principal.STAFF) as session:
        session.get_one(Setting, "identifier_lookup.per_hour").value = 1
    find(fresh_databases, cipher, person, cpf=make_cpf())
    with pytest.raises(QuotaExceeded):
        find(fresh_databases, cipher, person, cpf=make_cpf())
