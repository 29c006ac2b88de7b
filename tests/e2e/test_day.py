"""PRODUCT's day at the clinic, from the desk to the patient's own page, in six browsers at once."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from config import Settings
from models import Role
from models.engine import Databases
from tests.audit.trail import drain_all
from tests.e2e.conftest import OpenAs
from tests.factories.cast import Cast, Person, join_team, make_patient, make_person

SECRET = "Crise hipertensiva com cefaleia"

pytestmark = pytest.mark.usefixtures("empty_room")


@pytest.fixture
def patient(databases: Databases, settings: Settings, cast: Cast) -> Person:
    """Somebody with a portal account who comes in today; the nurse is on their team, no doctor is."""
    patient_id = make_patient(databases, settings, "Dalva do Dia Inteiro")
    join_team(databases, patient_id, cast.nurse.id)
    return make_person(databases, Role.PATIENT, "Dalva do Dia Inteiro", patient_id=patient_id)


def test_a_day_at_the_clinic(open_as: OpenAs, databases: Databases, patient: Person) -> None:
    desk, nurse, doctor = open_as("reception"), open_as("nurse"), open_as("doctor")
    row = doctor.get_by_role("listitem").filter(has_text="Dalva do Dia Inteiro")

    # Reception checks in; the doctor's open page shows it by itself.
    desk.get_by_label("Nome, CPF ou CNS do paciente").fill("dalva dia")
    desk.get_by_role("button", name="Buscar").click()
    desk.get_by_role("link", name="Registrar chegada de Dalva do Dia Inteiro").click()
    desk.get_by_label("Motivo da vinda").fill("Dor de cabeça forte")
    desk.get_by_label("Prioridade").select_option("NORMAL")
    desk.get_by_role("button", name="Registrar chegada").click()
    expect(row).to_contain_text("Dor de cabeça forte")

    # The nurse triages.
    nurse.get_by_role("link", name="Triar Dalva do Dia Inteiro").click()
    nurse.get_by_label("Pressão sistólica (mmHg)").fill("190")
    nurse.get_by_label("Pressão diastólica (mmHg)").fill("120")
    nurse.get_by_label("Alta").check()
    nurse.get_by_role("button", name="Salvar triagem").click()
    expect(row).to_contain_text("Alta")

    # The doctor calls, writes in the record that opened, and closes it.
    row.get_by_role("button", name="Chamar").click()
    expect(doctor).to_have_url(re.compile(r"/medical-records/[0-9a-f-]{36}/edit$"))
    doctor.fill("[name=diagnosis]", SECRET)
    doctor.fill("[name=treatment]", "Captopril 25 mg agora")
    doctor.locator("main button[type=submit]").first.click()
    expect(doctor).to_have_url(re.compile(r"/medical-records/[0-9a-f-]{36}(\?.*)?$"))
    record = doctor.url.partition("?")[0]
    expect(doctor.get_by_text(SECRET)).to_be_visible()
    doctor.get_by_role("link", name="Fechar…").click()
    doctor.get_by_role("button", name="Fechar o registro").click()
    expect(doctor.get_by_text("Registro fechado").first).to_be_visible()

    # A second doctor sees it masked, breaks the glass and reads; reception never does.
    other = open_as("doctor2", record)
    assert SECRET not in other.content()
    other.get_by_role("button", name="Emergência", exact=True).click()
    expect(other.get_by_text(SECRET)).to_be_visible()
    desk.goto(record)
    assert SECRET not in desk.content() and "Captopril" not in desk.content()

    # The auditor finds the acts and no word of the record; the patient sees who looked.
    drain_all(databases)
    auditor = open_as("auditor", "/audit")
    for action in ("visit.triage", "visit.call", "medical_record.close", "medical_record.read", "patient.break_glass"):
        auditor.goto(f"/audit?patientId={patient.actor.patient_id}&action={action}")
        expect(auditor.locator("details.event").first).to_be_visible()
        shown = auditor.content()
        for word in (SECRET, "Captopril", "Dor de cabeça", "Dalva"):
            assert word not in shown, f"{action}: {word}"
    own = open_as(patient, "/me")
    expect(own.locator("#accesses")).to_contain_text("Paulo Reis")
    expect(own.locator("#accesses")).to_contain_text("acesso de emergência")
