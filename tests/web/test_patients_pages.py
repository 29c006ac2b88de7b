"""``/patients`` and a patient's page: found, masked for each role, noted, inactivated and restored."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import func, select, text

from config import Principal, Settings
from models import Allergy, CareTeamMember, IdentifierLookup, Patient, Visit
from models.engine import Databases
from models.user import Role
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.factories.cast import Cast, Person, join_team, make_cpf, make_patient, make_person
from tests.factories.signed_in import SignedIn
from tests.services.test_query_counts import counted

As = Callable[[str | Person], SignedIn]


@pytest.fixture
def as_(app: Flask, databases: Databases, cast: Cast) -> As:
    def open_as(who: str | Person) -> SignedIn:
        return SignedIn(app, databases, cast.people[who] if isinstance(who, str) else who)

    return open_as


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    """A patient of the cast's doctor and nurse, with an allergy, a record, a restricted record and a visit."""
    made = make_patient(
        databases, settings, "Joana Página", social_name="João Página", mother_name="Mãe Página", cpf=make_cpf(),
        passport="AB123456", responsible_id=cast.doctor.id,
    )  # fmt: skip
    join_team(databases, made, cast.doctor.id, "RESPONSIBLE")
    join_team(databases, made, cast.nurse.id)
    cipher = field_cipher(settings)
    with databases.session(Principal.STAFF) as session:
        session.add(Allergy(patient_id=made, substance="Dipirona sódica", reaction="Edema de glote", severity="SEVERE"))
        for title, restricted in (("Cefaleia tensional", False), ("Sorologia reagente", True)):
            values = {"title": title, "diagnosis": "Diagnóstico oculto", "restricted": restricted}
            create_record(session, cast.doctor.actor, cipher, NewRecord(made, values))
        now = datetime.now(UTC)
        session.add(
            Visit(
                patient_id=made,
                reason="Dor de cabeça forte",
                priority="HIGH",
                status="DONE",
                arrived_at=now,
                closed_at=now,
                checked_in_by=cast.reception.id,
            )
        )
    return made


def cpf_of(databases: Databases, settings: Settings, patient_id: uuid.UUID) -> str:
    with databases.session(Principal.STAFF) as session:
        sealed = session.get_one(Patient, patient_id).cpf_cipher
        assert sealed is not None
        return field_cipher(settings).decrypt(sealed, patient_id)


def formatted(cpf: str) -> str:
    return f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"


@pytest.mark.parametrize("path", ["/patients", "/patients/{id}"])
@pytest.mark.parametrize(("who", "sees_whole"), [("doctor", True), ("nurse", True), ("reception", True),
                                                 ("doctor2", False), ("nurse2", False), ("admin", False)])  # fmt: skip
def test_documents_are_whole_or_partial_in_the_source(
    as_: As, databases: Databases, settings: Settings, patient_id: uuid.UUID, path: str, who: str, sees_whole: bool
) -> None:
    cpf = cpf_of(databases, settings, patient_id)
    tab = as_(who)
    if path == "/patients":
        source = tab.send(path, {"q": "joao pagina"}).text
    else:
        source = tab.page(path.format(id=patient_id)).text
        assert ("AB123456" in source) is sees_whole
    assert "João Página" in source
    assert (formatted(cpf) in source) is sees_whole
    assert f"***.{cpf[3:6]}.{cpf[6:9]}-**" in source or sees_whole
    assert cpf not in source


@pytest.mark.parametrize(
    ("who", "shown", "hidden"),
    [
        ("doctor", ["Dipirona sódica", "Edema de glote", "Cefaleia tensional", "Sorologia reagente"], []),
        ("doctor2", ["Dipirona sódica", "Cefaleia tensional", "Dor de cabeça"], ["Sorologia reagente"]),
        ("reception", [], ["Dipirona", "Edema", "Cefaleia tensional", "Sorologia reagente", "Dor de cabeça"]),
        ("admin", [], ["Dipirona", "Edema", "Cefaleia tensional", "Sorologia reagente", "Dor de cabeça"]),
    ],
)  # fmt: skip
def test_the_page_shows_each_role_its_own(
    as_: As, patient_id: uuid.UUID, who: str, shown: list[str], hidden: list[str]
) -> None:
    source = as_(who).page(f"/patients/{patient_id}").text
    assert [each for each in shown if each not in source] == []
    assert [each for each in hidden if each in source] == []
    assert "Diagnóstico oculto" not in source
    assert ("Oculto: " in source) is bool(hidden), "what is masked says so"


def test_the_social_name_leads_and_the_registered_one_stands_beside(as_: As, patient_id: uuid.UUID) -> None:
    tab = as_("nurse")
    for answer in (tab.send("/patients", {"q": "joana"}), tab.page(f"/patients/{patient_id}")):
        source = answer.text
        found = re.search(r">\s*João Página</a>", source)
        assert found is not None
        assert "Joana Página" in source[found.end() :]


def test_what_is_offered_is_what_may_be_done(as_: As, patient_id: uuid.UUID) -> None:
    offers = {
        who: {
            name
            for name, mark in {
                "glass": "/break-glass", "record": "/medical-records/new?", "check-in": 'href="/visits/new/',
                "edit": "/edit", "team": f'{patient_id}/care-team"',
                "allergy": f'action="/patients/{patient_id}/allergies"',
                "inactivate": f"{patient_id}/inactivate",
            }.items()
            if mark in as_(who).page(f"/patients/{patient_id}").text
        }
        for who in ("doctor", "doctor2", "nurse", "nurse2", "reception", "admin")
    }  # fmt: skip
    assert offers == {
        "doctor": {"record", "check-in", "edit", "team", "allergy", "inactivate"},
        "doctor2": {"record", "check-in", "glass"},
        "nurse": {"record", "check-in", "edit", "allergy"},
        "nurse2": {"glass"},
        "reception": {"check-in", "edit", "team", "inactivate"},
        "admin": set(),
    }


def test_opening_the_page_is_in_the_trail_as_what_it_is(
    as_: As, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    as_("doctor2").page(f"/patients/{patient_id}")
    query = text(
        "SELECT action, outcome FROM audit_outbox WHERE actor_id = :me AND patient_id = :patient ORDER BY action"
    )
    with databases.session(Principal.MIGRATOR) as session:
        events = session.execute(query, {"me": cast.doctor2.id, "patient": patient_id}).all()
    assert [tuple(row) for row in events] == [
        (action, "success")
        for action in ("allergy.list", "care_team.list", "medical_record.list", "patient.read", "visit.list")
    ]


def test_a_patient_is_led_to_their_own_page(as_: As, cast: Cast) -> None:
    answer = as_("patient").page(f"/patients/{cast.patient_id}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/me")
    assert as_("stranger").page(f"/patients/{cast.patient_id}").status_code == 404


def test_names_are_found_without_accents_and_the_team_is_marked(as_: As, patient_id: uuid.UUID) -> None:
    for q in ("joão pág", "PAGINA JOAO", "joana"):
        source = as_("doctor").send("/patients", {"q": q}, into="patients-found").text
        assert f"/patients/{patient_id}" in source
        assert "na sua equipe" in source
        assert "<html" not in source
    assert "na sua equipe" not in as_("doctor2").send("/patients", {"q": "joana"}).text


def test_odd_searches_are_answered(as_: As) -> None:
    tab = as_("reception")
    assert "Ninguém encontrado" in tab.send("/patients", {"q": "Zyxwv"}).text
    assert "Cadastrar paciente" in tab.send("/patients", {"q": "Zyxwv"}, into="patients-found").text
    assert "11 dígitos" in tab.send("/patients", {"q": "529982"}).text
    wrong = tab.send("/patients", {"q": "111.111.111-11"})
    assert wrong.status_code == 422
    assert "Este CPF não confere" in wrong.text
    script = tab.send("/patients", {"q": '"><script>alert(1)</script>'})
    assert script.status_code == 200
    assert "<script>alert" not in script.text
    assert tab.send("/patients", {"q": "!!!"}).status_code == 422
    assert tab.send("/patients", {"q": "x" * 201}).status_code == 422
    assert tab.send("/patients", {"q": "a", "cursor": "nonsense"}).status_code == 422
    assert tab.send("/patients", {"q": "joana", "limit": "100000"}).status_code == 422


def test_security_23_look_ups_by_number_are_counted_and_what_is_half_typed_is_not(
    as_: As, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    person = make_person(databases, Role.DOCTOR, "Sem Cota")
    tab, cpf = as_(person), cpf_of(databases, settings, patient_id)
    for _ in range(7):
        typing = tab.send("/patients", {"q": cpf, "typing": "true"}, into="patients-found")
        assert "Aperte Enter" in typing.text
        assert "João Página" not in typing.text
    for number in [cpf] + [make_cpf() for _ in range(4)]:
        answer = tab.send("/patients", {"q": formatted(number)})
        assert answer.status_code == 200
        assert ("João Página" in answer.text) is (number == cpf)
    refused = tab.send("/patients", {"q": cpf})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert "suas buscas por número exato acabaram" in refused.text
    assert "João Página" not in refused.text
    with databases.session(Principal.STAFF) as session:
        count = select(func.count()).select_from(IdentifierLookup).where(IdentifierLookup.user_id == person.id)
        assert session.scalar(count) == 5
    assert tab.send("/patients", {"q": "joana"}).status_code == 200, "names are still found"
    assert as_("reception").send("/patients", {"q": cpf}).status_code == 200, "who sees them whole is not counted"


def test_inactive_patients_show_on_request_only(as_: As, databases: Databases, settings: Settings) -> None:
    make_patient(databases, settings, "Invisível Agora", deleted_at=datetime.now(UTC), deletion_reason="engano")
    tab = as_("nurse")
    assert "Invisível Agora" not in tab.send("/patients", {"q": "invisivel"}).text
    shown = tab.send("/patients", {"q": "invisivel", "includeDeleted": "true"}).text
    assert "Invisível Agora" in shown
    assert "inativo" in shown


def test_pages_go_on_where_they_ended_in_the_same_number_of_statements(
    as_: As, databases: Databases, settings: Settings
) -> None:
    for number in range(23):
        make_patient(databases, settings, f"Página Contínua {number:02}")
    tab = as_("reception")
    with counted(databases) as many:
        first = tab.send("/patients", {"q": "continua"}).text
    assert first.count("Página Contínua") == 20
    cursor = re.search(r'name="cursor" value="([^"]+)"', first)
    assert cursor is not None
    rest = tab.send("/patients", {"q": "continua", "cursor": cursor[1]}, into="patients-more").text
    assert rest.count("Página Contínua") == 3
    assert "patients-more" not in rest
    assert not set(re.findall(r"Contínua \d\d", first)) & set(re.findall(r"Contínua \d\d", rest))
    with counted(databases) as few:
        tab.send("/patients", {"q": "continua 07"})
    assert len(many) == len(few)


def test_a_patients_page_takes_as_many_statements_however_much_happened(
    as_: As, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    bare = make_patient(databases, settings, "Quase Nada")
    join_team(databases, bare, cast.doctor.id)
    tab = as_("doctor")
    with counted(databases) as few:
        assert "Nada aqui ainda" in tab.page(f"/patients/{bare}").text
    with counted(databases) as many:
        assert tab.page(f"/patients/{patient_id}").status_code == 200
    assert len(many) == len(few)


def test_the_timeline_goes_on_by_cursor_and_refreshes_itself(
    as_: As, databases: Databases, settings: Settings, cast: Cast
) -> None:
    made = make_patient(databases, settings, "Longa História")
    join_team(databases, made, cast.doctor.id)
    with databases.session(Principal.STAFF) as session:
        for number in range(22):
            new = NewRecord(made, {"title": f"Nota {number:02}"})
            create_record(session, cast.doctor.actor, field_cipher(settings), new)
    tab = as_("doctor")
    first = tab.page(f"/patients/{made}").text
    link = re.search(r'hx-get="(/patients/[^"]+cursor=[^"]+)"', first)
    assert link is not None
    assert first.count("Nota ") == 20
    rest = tab.page(link[1], into="timeline-more").text
    assert rest.count("Nota ") == 2
    assert "sigilo:changed" not in rest, "somebody who reads old entries is not thrown back"
    anew = tab.page(f"/patients/{made}/timeline", into="timeline").text
    assert anew.count("Nota ") == 20
    assert "sigilo:changed" in anew


def test_an_allergy_is_noted_or_said_what_is_wrong(as_: As, databases: Databases, patient_id: uuid.UUID) -> None:
    tab, path = as_("nurse"), f"/patients/{patient_id}/allergies"
    wrong = tab.send(path, {"substance": "  ", "reaction": "Coceira <b>", "severity": "MILD"})
    assert wrong.status_code == 422
    assert "Coceira &lt;b&gt;" in wrong.text, "what was typed is still there"
    assert tab.send(path, {"substance": "Látex", "severity": "DEADLY"}, into="allergies").status_code == 422
    saved = tab.send(path, {"substance": "Látex", "reaction": "", "severity": ""})
    assert (saved.status_code, saved.headers["Location"]) == (303, f"/patients/{patient_id}?done=allergy-created")
    with databases.session(Principal.STAFF) as session:
        found = session.execute(select(Allergy.substance, Allergy.severity).where(Allergy.patient_id == patient_id))
        assert {tuple(row) for row in found} == {("Dipirona sódica", "SEVERE"), ("Látex", None)}


def test_inactivating_and_restoring_take_a_reason(as_: As, databases: Databases, patient_id: uuid.UUID) -> None:
    tab, path = as_("reception"), f"/patients/{patient_id}"
    assert tab.send(f"{path}/inactivate", {"reason": " ", "version": "1"}).status_code == 422
    stale = tab.send(f"{path}/inactivate", {"reason": "engano", "version": "7"})
    assert stale.status_code == 409
    assert "Alguém alterou este paciente" in stale.text
    assert tab.page(path).status_code == 200
    assert tab.send(f"{path}/inactivate", {"reason": "cadastro duplicado", "version": "1"}).status_code == 303
    gone = tab.page(path)
    assert gone.status_code == 410
    assert "Restaurar este paciente" in gone.text
    assert "Dor de cabeça" not in gone.text
    other = as_("doctor2").page(path)
    assert other.status_code == 410
    assert "/restore" not in other.text
    assert tab.send(f"{path}/restore", {"reason": ""}).status_code == 422
    assert tab.send(f"{path}/restore", {"reason": "era outra pessoa"}).status_code == 303
    assert tab.page(path).status_code == 200
    with databases.session(Principal.STAFF) as session:
        assert session.get_one(Patient, patient_id).version == 3


def test_a_patient_in_the_waiting_room_is_not_inactivated(
    as_: As, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    with databases.session(Principal.STAFF) as session:
        session.add(Visit(patient_id=patient_id, reason="Febre", priority="LOW", checked_in_by=cast.reception.id))
    answer = as_("doctor").send(f"/patients/{patient_id}/inactivate", {"reason": "engano", "version": "1"})
    assert answer.status_code == 409
    assert "atendimento aberto" in answer.text
    assert "engano" in answer.text


def test_the_team_changes_and_the_responsible_doctor_hands_over(
    as_: As, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    tab, path = as_("reception"), f"/patients/{patient_id}/care-team"
    found = tab.send(path, {"q": "paulo reis"}, into="staff-found").text
    assert str(cast.doctor2.id) in found
    assert "<html" not in found
    assert "Paulo Reis" in tab.send(path, {"q": "paulo reis"}).text, "without a script too"
    assert tab.send(path, {"userId": str(cast.doctor2.id)}).headers["Location"] == f"{path}?done=team-changed"
    assert tab.send(path, {"userId": str(cast.doctor2.id)}).headers["Location"] == f"{path}?done=team-kept"
    for wrong in (str(cast.reception.id), str(uuid.uuid4()), "nobody"):
        assert tab.send(path, {"userId": wrong}).status_code in (403, 422)
    alone = tab.send(f"{path}/{cast.doctor.id}/remove")
    assert alone.status_code == 422
    assert "Indique quem assume" in alone.text
    named = tab.send(f"{path}/{cast.doctor.id}/remove", {"responsibleId": str(cast.nurse.id)})
    assert named.status_code == 422, "a nurse takes nobody over"
    assert tab.send(f"{path}/{cast.doctor.id}/remove", {"responsibleId": str(cast.doctor2.id)}).status_code == 303
    with databases.session(Principal.STAFF) as session:
        members = session.execute(
            select(CareTeamMember.user_id, CareTeamMember.origin).where(
                CareTeamMember.patient_id == patient_id, CareTeamMember.removed_at.is_(None)
            )
        ).all()
        assert {tuple(row) for row in members} == {(cast.doctor2.id, "RESPONSIBLE"), (cast.nurse.id, "ADDED")}
        assert session.get_one(Patient, patient_id).responsible_id == cast.doctor2.id


def test_nobody_changes_their_own_place(as_: As, cast: Cast, patient_id: uuid.UUID) -> None:
    path = f"/patients/{patient_id}/care-team"
    page = as_("doctor").page(path).text
    assert f"{cast.doctor.id}/remove" not in page
    assert f'value="{cast.doctor.id}"' not in page
    removal = as_("doctor").send(f"{path}/{cast.doctor.id}/remove", {"responsibleId": str(cast.doctor2.id)})
    assert removal.status_code == 403
    assert as_("doctor2").send(path, {"userId": str(cast.doctor2.id)}).status_code == 403


def test_security_20_a_form_with_more_fields_changes_nothing(
    as_: As, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    tab, path = as_("reception"), f"/patients/{patient_id}"
    nurse = as_("nurse")
    assert nurse.send(f"{path}/allergies", {"substance": "Soja", "recordedBy": str(cast.admin.id)}).status_code == 422
    assert tab.send(f"{path}/inactivate", {"reason": "x y", "version": "1", "deletedBy": "x"}).status_code == 422
    extra = {"userId": str(cast.doctor2.id), "origin": "RESPONSIBLE"}
    assert tab.send(f"{path}/care-team", extra).status_code == 422
    assert tab.send(f"{path}/care-team/{cast.nurse.id}/remove", {"userId": str(cast.doctor.id)}).status_code == 422
    with databases.session(Principal.STAFF) as session:
        assert session.get_one(Patient, patient_id).version == 1
        count = select(func.count()).select_from(CareTeamMember)
        assert session.scalar(count.where(CareTeamMember.patient_id == patient_id)) == 2
        allergies = select(func.count()).select_from(Allergy).where(Allergy.patient_id == patient_id)
        assert session.scalar(allergies) == 1


def test_the_directory_fills_any_form(as_: As, cast: Cast) -> None:
    found = as_("nurse").send("/staff", {"q": "paulo reis", "role": "DOCTOR", "name": "doctorId"}).text
    assert f'name="doctorId" value="{cast.doctor2.id}"' in found
    assert "Ninguém encontrado" in as_("nurse").send("/staff", {"q": "paulo reis", "role": "NURSE"}).text
    assert '"><img' not in as_("nurse").send("/staff", {"q": "", "name": '"><img'}).text
