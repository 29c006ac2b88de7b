"""Registering and correcting a patient: inline checks, the homonym warning, duplicates, and two at once."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from config import Principal, Settings
from models import IdentifierLookup, Patient, PatientVersion
from models.engine import Databases
from models.user import Role
from services.field_encryption import field_cipher
from services.patient_create import create_patient
from services.patient_update import may_update_patient, update_patient
from tests.factories.cast import Cast, Person, make_cpf, make_patient, make_person
from tests.factories.signed_in import SignedIn

As = Callable[[str | Person], SignedIn]
INPUT = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@pytest.fixture
def as_(app: Flask, databases: Databases, cast: Cast) -> As:
    def open_as(who: str | Person) -> SignedIn:
        return SignedIn(app, databases, cast.people[who] if isinstance(who, str) else who)

    return open_as


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    """A patient of the cast's doctor, registered as patients are: with a first version."""
    content = {
        "fullName": f"Corrigida {uuid.uuid4().hex[:8]}", "sex": "FEMALE", "phone": "11 5555-0100",
        "email": "antes@example.org", "cpf": make_cpf(), "birthDate": date(1980, 2, 1), "birthDateEstimated": True,
    }  # fmt: skip
    with databases.session(Principal.STAFF) as session:
        return create_patient(session, cast.doctor.actor, field_cipher(settings), content).patient.id


def named(databases: Databases, name: str) -> list[Patient]:
    with databases.session(Principal.STAFF) as session:
        return list(session.scalars(select(Patient).where(Patient.full_name == name).order_by(Patient.id)))


def field_values(source: str) -> dict[str, str]:
    """The edit form as a browser would send it."""
    values = {name: html.unescape(value) for name, value in INPUT.findall(source)}
    for name, value in re.findall(r'<input id="([^"]+)" name="[^"]+" type="[a-z-]+" value="([^"]*)"', source):
        values[name] = html.unescape(value)
    values["sex"] = re.findall(r'<option value="(\w+)" selected', source)[0]
    if re.search(r'name="birthDateEstimated" value="true" checked', source):
        values["birthDateEstimated"] = "true"
    values.pop("csrf_token"), values.pop("next", None), values.pop("q", None)
    return values


def saved(databases: Databases, patient_id: uuid.UUID) -> Patient:
    with databases.session(Principal.STAFF) as session:
        return session.get_one(Patient, patient_id)


def change(databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID, **content: Any) -> None:
    """Somebody else saves meanwhile."""
    with databases.session(Principal.STAFF) as session:
        access = may_update_patient(session, cast.reception.actor, patient_id)
        version = access.patient.version
        update_patient(session, cast.reception.actor, field_cipher(settings), access, version=version, content=content)


def test_an_unidentified_person_needs_no_more_than_a_click(as_: As, databases: Databases, cast: Cast) -> None:
    tab = as_("nurse")
    page = tab.page("/patients/new?unidentified").text
    name = re.search(r'name="fullName" type="text" value="(Não identificado, [^"]+)"', page)
    assert name is not None
    unique = f"{name[1]} {uuid.uuid4().hex[:6]}"
    assert (
        tab.send("/patients/new", {"fullName": unique, "sex": "UNKNOWN", "birthDate": "", "cpf": ""}).status_code == 303
    )
    (patient,) = named(databases, unique)
    assert (patient.birth_date, patient.cpf_index, patient.created_by) == (None, None, cast.nurse.id)


def test_everything_of_the_form_is_kept_as_typed(as_: As, databases: Databases, settings: Settings, cast: Cast) -> None:
    name, cpf = f"Tudo {uuid.uuid4().hex[:8]} <i>&'", make_cpf()
    fields = {
        "fullName": name, "socialName": "Nome Social", "motherName": "Mãe Inteira", "birthDate": "1990-12-31",
        "birthDateEstimated": "true", "sex": "OTHER", "cpf": cpf, "cns": "", "passport": "XY 987654",
        "nationality": "Peruana", "phone": "(11) 5555-0188", "email": "tudo@example.org", "address": "Rua Ímpar, 7",
        "responsibleId": str(cast.doctor2.id),
    }  # fmt: skip
    assert as_("reception").send("/patients/new", fields).status_code == 303
    (patient,) = named(databases, name)
    assert (patient.social_name, patient.mother_name, patient.birth_date) == (
        "Nome Social",
        "Mãe Inteira",
        date(1990, 12, 31),
    )
    assert (patient.birth_date_estimated, patient.sex, patient.nationality) == (True, "OTHER", "Peruana")
    assert (patient.phone, patient.email, patient.address) == ("(11) 5555-0188", "tudo@example.org", "Rua Ímpar, 7")
    assert patient.responsible_id == cast.doctor2.id
    assert patient.cpf_cipher is not None
    assert field_cipher(settings).decrypt(patient.cpf_cipher, patient.id) == cpf
    source = as_("reception").page(f"/patients/{patient.id}").text
    assert "<i>&'" not in source


def test_what_is_wrong_is_said_beside_it_and_nothing_is_lost(as_: As, databases: Databases) -> None:
    name = f"Errada {uuid.uuid4().hex[:8]}"
    fields = {"fullName": name, "sex": "", "cpf": "111.111.111-11", "email": "sem arroba", "birthDate": "2999-01-01",
              "motherName": "Mãe <b>Digitada</b>"}  # fmt: skip
    first = as_("doctor").send("/patients/new", fields)
    assert first.status_code == 422
    assert "Preencha este campo" in first.text
    answer = as_("doctor").send("/patients/new", fields | {"sex": "MALE"})
    assert answer.status_code == 422
    for sentence in ("Este CPF não confere", "Um e-mail, como", "Uma data entre 1850 e hoje"):
        assert answer.text.count(sentence) >= 2, "in the summary and beside the field"
    assert "Mãe &lt;b&gt;Digitada&lt;/b&gt;" in answer.text
    assert 'value="111.111.111-11"' in answer.text
    assert named(databases, name) == []


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("cpf", "52998224725", None), ("cpf", "529.982.247-25", None), ("cpf", "11111111111", "Este CPF não confere"),
        ("cpf", "5299822472", "Este CPF não confere"), ("cns", "700000000000005", None),
        ("cns", "100000000000007", None), ("cns", "100000000060018", None),
        ("cns", "100000000000015", "Este CNS não confere"), ("email", "a@b", None), ("email", "a b", "Um e-mail"),
        ("birthDate", "1849-01-01", "Uma data entre"), ("birthDate", "31/12/1990", "Uma data entre"),
        ("birthDate", "1990-12-31", None), ("passport", "?", "passaporte"), ("cpf", "", None), ("nobody", "x", None),
    ],
)  # fmt: skip
def test_an_input_is_checked_when_it_is_left(as_: As, field: str, value: str, sentence: str | None) -> None:
    answer = as_("nurse").send(
        "/patients/check", {"_field": field, field: value} if field != "nobody" else {"_field": field}
    )
    assert answer.status_code == 200
    assert "<html" not in answer.text
    if sentence is None:
        assert "warn" not in answer.text
        assert re.search(r'<span class="error"[^>]*></span>', answer.text)
    else:
        assert sentence in answer.text
        assert f'id="{field}-error"' in answer.text


def test_security_23_checking_an_input_tells_nothing_about_who_has_the_number(
    as_: As, databases: Databases, settings: Settings
) -> None:
    cpf = make_cpf()
    make_patient(databases, settings, "Dona do Número", cpf=cpf)
    tab = as_("doctor2")
    taken, free = (tab.send("/patients/check", {"_field": "cpf", "cpf": number}).data for number in (cpf, make_cpf()))
    assert taken == free


def test_homonyms_are_shown_before_saving_and_never_block(
    as_: As, databases: Databases, settings: Settings, cast: Cast
) -> None:
    name, cpf = f"Homônima {uuid.uuid4().hex[:8]}", make_cpf()
    known = make_patient(databases, settings, name, mother_name="Mãe Igual", birth_date=date(1970, 5, 5), cpf=cpf)
    tab = as_("doctor2")
    fields = {"fullName": name.upper(), "sex": "FEMALE", "motherName": "Outra Mãe", "phone": "11 5555-0177"}
    warned = tab.send("/patients/new", fields)
    assert warned.status_code == 409
    assert f'href="/patients/{known}"' in warned.text
    assert "Mãe Igual" in warned.text
    assert "05/05/1970" in warned.text
    assert f"***.{cpf[3:6]}.{cpf[6:9]}-**" in warned.text
    assert cpf not in warned.text.replace(".", "").replace("-", "")
    assert 'value="11 5555-0177"' in warned.text, "what was typed is still there"
    assert named(databases, name.upper()) == []
    button = re.search(r'name="distinct" value="([^"]+)"', warned.text)
    assert button is not None
    newer = make_patient(databases, settings, name)
    again = tab.send("/patients/new", fields | {"distinct": button[1]})
    assert again.status_code == 409, "somebody similar was registered meanwhile"
    assert str(newer) in again.text
    done = tab.send("/patients/new", fields | {"distinct": f"{known},{newer}"})
    assert done.status_code == 303
    assert len(named(databases, name.upper())) == 1


def test_the_same_mother_and_birth_date_warn_of_another_spelling(
    as_: As, databases: Databases, settings: Settings
) -> None:
    mother = f"Mãe {uuid.uuid4().hex[:8]}"
    known = make_patient(databases, settings, "Thaís Prado", mother_name=mother, birth_date=date(2001, 1, 2))
    fields = {"fullName": "Taís Prado Lima", "sex": "FEMALE", "motherName": mother.upper(), "birthDate": "2001-01-02"}
    assert str(known) in as_("reception").send("/patients/new", fields).text


def test_a_number_that_somebody_has_is_said_and_counted(as_: As, databases: Databases, settings: Settings) -> None:
    cpf, person = make_cpf(), make_person(databases, Role.DOCTOR, "Tenta Números")
    make_patient(databases, settings, "Dona Deste CPF", cpf=cpf)
    tab = as_(person)
    for number in range(5):
        answer = tab.send("/patients/new", {"fullName": f"Tentativa {number} {cpf}", "sex": "MALE", "cpf": cpf})
        assert answer.status_code == 409
        assert "Já existe paciente com este CPF" in answer.text
        assert "Dona Deste CPF" not in answer.text
        assert named(databases, f"Tentativa {number} {cpf}") == []
    spent = tab.send("/patients/new", {"fullName": f"Mais Uma {cpf}", "sex": "MALE", "cpf": make_cpf()})
    assert spent.status_code == 429
    assert "deixe CPF e CNS em branco" in spent.text
    assert int(spent.headers["Retry-After"]) > 0
    assert tab.send("/patients/new", {"fullName": f"Sem Número {cpf}", "sex": "MALE"}).status_code == 303
    with databases.session(Principal.STAFF) as session:
        count = select(func.count()).select_from(IdentifierLookup).where(IdentifierLookup.user_id == person.id)
        assert session.scalar(count) == 5


def test_only_reception_names_the_responsible_doctor(as_: As, databases: Databases, cast: Cast) -> None:
    name = f"De Quem {uuid.uuid4().hex[:8]}"
    fields = {"fullName": name, "sex": "MALE", "responsibleId": str(cast.doctor2.id)}
    for who in ("doctor", "nurse"):
        assert "responsibleId" not in as_(who).page("/patients/new").text
        assert as_(who).send("/patients/new", fields).status_code == 403
    wrong = as_("reception").send("/patients/new", fields | {"responsibleId": str(cast.nurse.id)})
    assert wrong.status_code == 422
    assert "Escolha na lista um médico" in wrong.text
    assert named(databases, name) == []


def test_security_20_fields_that_are_nobodys_to_write(
    as_: As, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    name = f"A Mais {uuid.uuid4().hex[:8]}"
    for extra in ({"id": str(uuid.uuid4())}, {"version": "9"}, {"deceasedAt": "2020-01-01T00:00"}, {"createdBy": "x"}):
        assert as_("reception").send("/patients/new", {"fullName": name, "sex": "MALE"} | extra).status_code == 422
    assert named(databases, name) == []
    path = f"/patients/{patient_id}/edit"
    assert as_("doctor").send(path, {"version": "1", "deletedAt": "2020-01-01T00:00"}).status_code == 422
    # known to the API's call, but no input of this form: left alone
    answer = as_("reception").send(path, {"version": "1", "phone": "1", "responsibleId": str(cast.doctor2.id)})
    assert answer.status_code == 303
    patient = saved(databases, patient_id)
    assert (patient.responsible_id, patient.phone, patient.deleted_at) == (cast.doctor.id, "1", None)


def test_the_form_comes_filled_and_unchanged_it_makes_no_version(
    as_: As, databases: Databases, patient_id: uuid.UUID
) -> None:
    tab, path = as_("doctor"), f"/patients/{patient_id}/edit"
    fields = field_values(tab.page(path).text)
    assert (fields["phone"], fields["birthDate"], fields["sex"]) == ("11 5555-0100", "1980-02-01", "FEMALE")
    assert fields["birthDateEstimated"] == "true"
    assert tab.send(path, fields).status_code == 303
    assert saved(databases, patient_id).version == 1
    fields |= {"birthDateEstimated": "false", "cpf": "", "socialName": "Como Quer Ser Chamada"}
    assert tab.send(path, fields).headers["Location"] == f"/patients/{patient_id}?done=patient-saved"
    patient = saved(databases, patient_id)
    assert (patient.version, patient.birth_date_estimated, patient.cpf_index) == (2, False, None)
    assert patient.social_name == "Como Quer Ser Chamada"


def test_a_bad_correction_changes_nothing_and_keeps_what_was_typed(
    as_: As, databases: Databases, settings: Settings, patient_id: uuid.UUID
) -> None:
    taken = make_cpf()
    make_patient(databases, settings, "Já Tem", cpf=taken)
    tab, path = as_("reception"), f"/patients/{patient_id}/edit"
    fields = field_values(tab.page(path).text) | {"phone": "11 5555-9999"}
    for wrong, status in (({"fullName": ""}, 422), ({"cns": "1"}, 422), ({"cpf": taken}, 409),
                          ({"deceasedAt": "1970-01-01T00:00"}, 422), ({"version": ""}, 422)):  # fmt: skip
        answer = tab.send(path, fields | wrong)
        assert answer.status_code == status, wrong
        assert 'value="11 5555-9999"' in answer.text
    assert saved(databases, patient_id).version == 1


def test_two_at_once_in_different_fields_are_merged(
    as_: As, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    tab, path = as_("doctor"), f"/patients/{patient_id}/edit"
    fields = field_values(tab.page(path).text) | {"phone": "11 5555-0200"}
    change(databases, settings, cast, patient_id, email="depois@example.org")
    assert tab.send(path, fields).headers["Location"] == f"/patients/{patient_id}?done=patient-merged"
    patient = saved(databases, patient_id)
    assert (patient.phone, patient.email, patient.version) == ("11 5555-0200", "depois@example.org", 3)


def hidden_of(source: str) -> dict[str, str]:
    """The inputs that the screen of two corrections carries along."""
    values = {name: html.unescape(value) for name, value in INPUT.findall(source)}
    return {name: value for name, value in values.items() if name not in ("csrf_token", "next")}


def test_two_at_once_in_the_same_field_are_for_a_person_to_choose(
    as_: As, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    tab, path = as_("doctor"), f"/patients/{patient_id}/edit"
    fields = field_values(tab.page(path).text) | {"phone": "11 5555-0300", "address": "Rua Minha, 1"}
    change(databases, settings, cast, patient_id, phone="11 5555-0400", email="delas@example.org")
    conflict = tab.send(path, fields)
    assert conflict.status_code == 409
    assert "checked" not in conflict.text, "nothing is chosen beforehand"
    rows = {row.split('"')[0]: row for row in conflict.text.split('id="field-')[1:]}
    assert set(rows) == {"phone", "email", "address"}
    assert all(side in rows["phone"] for side in ("11 5555-0100", "11 5555-0400", "11 5555-0300"))
    assert [way for way in ("mine", "theirs", "own") if f'name="choice.phone" value="{way}"' in rows["phone"]] == [
        "mine", "theirs", "own",
    ]  # fmt: skip
    for name, value in (("email", "delas@example.org"), ("address", "Rua Minha, 1")):
        assert value in rows[name] and "unificado automaticamente" in rows[name] and "radio" not in rows[name]
    assert saved(databases, patient_id).version == 2
    hidden = hidden_of(conflict.text)
    assert (hidden["version"], hidden["email"], hidden["address"]) == ("2", "delas@example.org", "Rua Minha, 1")
    assert tab.send(path, hidden | {"choice.phone": "mine"}).status_code == 303
    patient = saved(databases, patient_id)
    assert (patient.phone, patient.email, patient.address) == ("11 5555-0300", "delas@example.org", "Rua Minha, 1")
    assert patient.birth_date_estimated


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        ({"choice.phone": "theirs"}, "11 5555-0400"),
        ({"choice.phone": "own", "own.phone": "11 5555-0500"}, "11 5555-0500"),
        ({"choice.phone": "own", "own.phone": ""}, None),
    ],
)
def test_theirs_and_other_words_are_taken_as_chosen(
    as_: As, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID, choice: dict[str, str],
    kept: str | None,
) -> None:  # fmt: skip
    tab, path = as_("doctor"), f"/patients/{patient_id}/edit"
    fields = field_values(tab.page(path).text) | {"phone": "11 5555-0300", "address": "Rua Minha, 1"}
    change(databases, settings, cast, patient_id, phone="11 5555-0400")
    hidden = hidden_of(tab.send(path, fields).text)
    assert tab.send(path, hidden | choice).status_code == 303
    patient = saved(databases, patient_id)
    assert (patient.phone, patient.address, patient.version) == (kept, "Rua Minha, 1", 3)


def test_what_is_not_chosen_is_not_saved_and_the_screen_keeps_the_rest(
    as_: As, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    tab, path = as_("doctor"), f"/patients/{patient_id}/edit"
    mine = {"phone": "11 5555-0300", "email": "minha@example.org", "address": "Rua Minha, 1"}
    fields = field_values(tab.page(path).text) | mine
    change(databases, settings, cast, patient_id, phone="11 5555-0400", email="delas@example.org", motherName="Mãe")
    hidden = hidden_of(tab.send(path, fields).text)
    for choices in ({}, {"choice.phone": "theirs"}, {"choice.phone": "theirs", "choice.email": "both"}):
        again = tab.send(path, hidden | choices)
        assert again.status_code == 422
        assert "Escolha o que fica" in again.text
        assert ('value="theirs" checked' in again.text) is ("choice.phone" in choices)
        assert hidden_of(again.text) == hidden, "neither side's other changes are lost"
    assert saved(databases, patient_id).version == 2
    wrong = tab.send(path, hidden | {"choice.phone": "theirs", "choice.email": "own", "own.email": "nenhum"})
    assert wrong.status_code == 422 and 'value="nenhum"' in wrong.text
    assert saved(databases, patient_id).version == 2


def test_a_third_correction_asks_again_about_what_it_touched(
    as_: As, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    tab, path = as_("doctor"), f"/patients/{patient_id}/edit"
    fields = field_values(tab.page(path).text) | {"phone": "11 5555-0300"}
    change(databases, settings, cast, patient_id, phone="11 5555-0400")
    hidden = hidden_of(tab.send(path, fields).text)
    change(databases, settings, cast, patient_id, phone="11 5555-0450")
    again = tab.send(path, hidden | {"choice.phone": "mine"})
    assert again.status_code == 409
    assert "Houve mais uma mudança" in again.text and "11 5555-0450" in again.text and "checked" not in again.text
    assert tab.send(path, hidden_of(again.text) | {"choice.phone": "mine"}).status_code == 303
    assert saved(databases, patient_id).phone == "11 5555-0300"


def test_the_same_change_twice_is_no_conflict(
    as_: As, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    tab, path, cpf = as_("doctor"), f"/patients/{patient_id}/edit", make_cpf()
    fields = field_values(tab.page(path).text) | {"cpf": f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"}
    change(databases, settings, cast, patient_id, cpf=cpf)
    assert tab.send(path, fields).status_code == 303
    assert saved(databases, patient_id).version == 2


def test_a_base_that_nobody_knows_leaves_every_difference_to_a_person(
    as_: As, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    tab, path = as_("doctor"), f"/patients/{patient_id}/edit"
    fields = field_values(tab.page(path).text)
    change(databases, settings, cast, patient_id, phone="11 5555-0600")
    with databases.session(Principal.MIGRATOR) as session:
        row = session.get_one(PatientVersion, (patient_id, 1))
        session.delete(row)
    conflict = tab.send(path, fields)
    assert conflict.status_code == 409
    assert "não se sabe" in conflict.text
    assert 'type="radio" name="choice.phone"' in conflict.text
    assert 'id="field-email"' not in conflict.text or 'type="radio" name="choice.email"' not in conflict.text
