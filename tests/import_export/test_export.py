"""Export: through one user's mask, in the trail, whole or not at all, and back again without a difference."""

from __future__ import annotations

import csv
import json
import stat
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from config import Principal
from models import Allergy, BreakGlassGrant, new_id
from models.engine import Databases
from models.user import Role
from services.errors import Forbidden, Invalid
from services.export_files import export_files
from services.export_run import ExportSummary, run_export
from services.field_encryption import field_cipher
from services.import_fhir_check import MODELS, check_resource
from services.patient_create import create_patient
from services.record_create import NewRecord, create_record
from tests.conftest import make_settings
from tests.factories.cast import Person, make_person
from tests.import_export.conftest import Clinic
from tests.import_export.fhir_samples import as_lines, bundle, encounter, patient, whole_bundle
from tests.servers import DatabaseServer

pytestmark = pytest.mark.unmeasured  # ten thousand rows take the same way as ten

Write = Callable[..., Path]
FORMATS = ("fhir", "csv")
HARD_TEXT = "=SOMA(A1)\r\nlinha 2; \"aspas\", 'apóstrofo'\t\x07\x1b fim 😀 \u202e{{x}} zebra"
CPF, CNS, PASSPORT = "52998224725", "700000000000005", "AB 12345"


@pytest.fixture
def doctor(clinic: Clinic) -> Person:
    return make_person(clinic.databases, Role.DOCTOR, "Ana Moura")


@pytest.fixture
def outsider(clinic: Clinic) -> Person:
    return make_person(clinic.databases, Role.DOCTOR, "Paulo Reis")


@pytest.fixture
def elsewhere(server: DatabaseServer, template: str, redis_url: str, home: Path) -> Iterator[Clinic]:
    """Another clinic, as empty as ours was, with the same keys, so that sealed values can be compared."""
    name = server.create(template=template)
    databases = Databases(server.urls(name), pool_size=2)
    yield Clinic(make_settings(server.urls(name), redis_url, home), databases)
    databases.dispose()
    server.drop(name)


def written_here(clinic: Clinic, doctor: Person) -> uuid.UUID:
    """Patients and records that a doctor of the clinic wrote, with everything that is hard to carry.

    Gives the id of the patient who has it all; the doctor is responsible for both patients.
    """
    cipher = field_cipher(clinic.settings)
    actor = replace(doctor.actor, scopes=None, token_id=None)
    everything: dict[str, Any] = {
        "fullName": "José\x07 da Silva", "socialName": "Joana da Silva", "motherName": "=Maria",
        "birthDate": date(1975, 1, 1), "birthDateEstimated": True, "sex": "OTHER", "cpf": CPF, "cns": CNS,
        "passport": PASSPORT, "nationality": "brasileira", "phone": "+55 11 5555-0101", "email": "jo@example.org",
        "address": "Rua A, 1\nRecife", "deceasedAt": datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
    }  # fmt: skip
    entry: dict[str, Any] = {
        "kind": "EXAM", "title": HARD_TEXT[:150], "diagnosis": HARD_TEXT, "treatment": f"@{HARD_TEXT}",
        "notes": f"'{HARD_TEXT}", "cid10Codes": ["I10", "E119", "E11.9"], "priority": "CRITICAL",
        "occurredAt": datetime(2026, 2, 3, 4, 5, 6, 789, UTC), "restricted": True,
    }  # fmt: skip
    with clinic.databases.session(Principal.STAFF) as session:
        full_id = create_patient(session, actor, cipher, everything).patient.id
        create_patient(session, actor, cipher, {"fullName": "Desconhecido", "sex": "UNKNOWN"})
        first = create_record(session, actor, cipher, NewRecord(full_id, entry)).record
        create_record(session, actor, cipher, NewRecord(full_id, {"title": "Só códigos", "cid10Codes": ["B24"]}))
        create_record(session, actor, cipher, NewRecord(full_id, {"title": "Adendo"}, amends_id=first.id))
        create_record(session, actor, cipher, NewRecord(full_id, {"title": "Socorro", "kind": "EMERGENCY"}))
        for reaction, severity in (("Urticária\x01", "SEVERE"), (None, "MILD"), ("=1", None)):
            session.add(
                Allergy(
                    patient_id=full_id, substance="Dipirona", reaction=reaction, severity=severity,
                    noted_at=datetime(2020, 1, 1, tzinfo=UTC), recorded_by=doctor.id,
                )
            )  # fmt: skip
    return full_id


def out(clinic: Clinic, folder: Path, target_format: str, person: Person) -> ExportSummary:
    return run_export(clinic.settings, folder, target_format=target_format, email=person.email)


def everything_in(folder: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in sorted(folder.iterdir()))


@pytest.mark.parametrize("target_format", FORMATS)
def test_exported_in_the_clear_it_imports_identically(
    clinic: Clinic, elsewhere: Clinic, doctor: Person, write: Write, tmp_path: Path, target_format: str
) -> None:
    written_here(clinic, doctor)
    clinic.take(write("b.json", json.dumps(whole_bundle())), responsible=doctor.email)
    summary = out(clinic, tmp_path / "out", target_format, doctor)
    assert (summary.patients, summary.records, summary.allergies, summary.masked) == (3, 5, 3, 0)
    back = elsewhere.take(tmp_path / "out")
    assert (back.taken, back.rejected) == (11, 0)
    assert elsewhere.content() == clinic.content()
    again = clinic.take(tmp_path / "out")
    assert (again.rejected, sum(again.of(kind, "unchanged") for kind in ("patients", "records", "allergies"))) == (
        0,
        11,
    )
    assert clinic.counts()["patients"] == 3


@pytest.mark.parametrize("target_format", FORMATS)
def test_real_format_data_goes_out_and_back(
    shared_data: Path, clinic: Clinic, elsewhere: Clinic, doctor: Person, tmp_path: Path, target_format: str
) -> None:
    clinic.take(shared_data / "synthea-csv", shared_data / "synthea-bulk", responsible=doctor.email)
    out(clinic, tmp_path / "out", target_format, doctor)
    elsewhere.take(tmp_path / "out")
    assert elsewhere.content() == clinic.content()
    assert elsewhere.counts()["medical_records"] == 333 + 248


@pytest.mark.parametrize("target_format", FORMATS)
def test_pages_and_bundles_come_apart_and_together(
    clinic: Clinic, elsewhere: Clinic, doctor: Person, write: Write, tmp_path: Path, target_format: str
) -> None:
    header = "source,record_id,patient_id,start,title\n"
    records = "".join(f"erp,r{number},p7,2020-01-01T10:00:00Z,Nota {number}\n" for number in range(1_100))
    people = "".join(f"erp,p{number},Ana {number}\n" for number in range(230))
    folder = write("in/records.csv", header + records).parent
    write("in/patients.csv", "source,patient_id,full_name\n" + people)
    clinic.take(folder, responsible=doctor.email)
    out(clinic, tmp_path / "out", target_format, doctor)
    if target_format == "fhir":
        assert len((tmp_path / "out" / "sigilo.ndjson").read_bytes().splitlines()) == 229 + 3
    assert elsewhere.take(tmp_path / "out").taken == 230 + 1_100
    assert elsewhere.content() == clinic.content()


@pytest.mark.parametrize("target_format", FORMATS)
def test_outside_the_care_team_it_is_masked_and_cannot_be_imported(
    clinic: Clinic, elsewhere: Clinic, doctor: Person, outsider: Person, tmp_path: Path, target_format: str
) -> None:
    written_here(clinic, doctor)
    summary = out(clinic, tmp_path / "out", target_format, outsider)
    assert (summary.patients, summary.records, summary.masked) == (2, 4, 6)
    content = everything_in(tmp_path / "out")
    assert "Joana da Silva" in content
    assert "masked" in content
    for secret in ("zebra", "E11.9", "B24", CPF, CNS, PASSPORT, "982.247", "***"):
        assert secret not in content, secret
    assert "Só códigos" not in content  # restricted: even the title
    back = elsewhere.take(tmp_path / "out")
    assert back.taken == 0
    assert {row for row in elsewhere.counts().items() if row[0] != "import_rejects"} == {
        (table, 0) for table in elsewhere.counts() if table != "import_rejects"
    }
    assert elsewhere.reasons()[0].startswith("is a masked copy")


def test_an_author_outside_the_team_takes_out_what_they_wrote(
    clinic: Clinic, doctor: Person, outsider: Person, tmp_path: Path
) -> None:
    patient_id = written_here(clinic, doctor)
    actor = replace(outsider.actor, scopes=None, token_id=None)
    with clinic.databases.session(Principal.STAFF) as session:
        new = NewRecord(patient_id, {"title": "Parecer", "diagnosis": "Meu parecer"})
        create_record(session, actor, field_cipher(clinic.settings), new)
    out(clinic, tmp_path / "out", "csv", outsider)
    with (tmp_path / "out" / "records.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["title"]: row for row in csv.DictReader(file)}
    assert (rows["Parecer"]["diagnosis"], rows["Parecer"]["masked"]) == ("Meu parecer", "")
    assert rows["Socorro"]["masked"] == "diagnosis|treatment|notes|cid10Codes"


def test_broken_glass_opens_the_screen_and_not_the_door(
    clinic: Clinic, doctor: Person, outsider: Person, tmp_path: Path
) -> None:
    patient_id = written_here(clinic, doctor)
    with clinic.databases.session(Principal.STAFF) as session:
        session.add(
            BreakGlassGrant(
                id=new_id(), patient_id=patient_id, user_id=outsider.id, acting_role="DOCTOR",
                reason="Emergência na sala", expires_at=datetime.now(UTC) + timedelta(minutes=30),
            )
        )  # fmt: skip
    out(clinic, tmp_path / "out", "csv", outsider)
    assert "zebra" not in everything_in(tmp_path / "out")


def test_every_patient_is_in_the_trail(clinic: Clinic, doctor: Person, outsider: Person, tmp_path: Path) -> None:
    patient_id = written_here(clinic, doctor)
    out(clinic, tmp_path / "one", "csv", doctor)
    out(clinic, tmp_path / "two", "fhir", outsider)
    events = clinic.rows(
        "SELECT actor_id, actor_role, basis FROM audit_outbox WHERE action = 'patient.export' "
        "AND patient_id = %(id)s AND entity_id = %(id)s ORDER BY id",
        id=patient_id,
    )
    assert events == [(doctor.id, "DOCTOR", "care-team"), (outsider.id, "DOCTOR", "outside-care-team")]
    assert clinic.actions()["patient.export"] == 4


def test_without_a_trail_there_is_no_export(clinic: Clinic, doctor: Person, tmp_path: Path) -> None:
    written_here(clinic, doctor)
    with clinic.databases.session(Principal.MIGRATOR) as session:
        session.execute(text("ALTER TABLE audit_outbox ADD CONSTRAINT closed CHECK (action <> 'patient.export')"))
    with pytest.raises(Exception, match="closed"):
        out(clinic, tmp_path / "out", "csv", doctor)
    assert not (tmp_path / "out").exists()


def test_a_patient_takes_out_their_own_record(clinic: Clinic, doctor: Person, tmp_path: Path) -> None:
    patient_id = written_here(clinic, doctor)
    person = make_person(clinic.databases, Role.PATIENT, "Joana", patient_id=patient_id)
    summary = out(clinic, tmp_path / "out", "csv", person)
    assert (summary.patients, summary.records, summary.masked) == (1, 4, 0)
    content = everything_in(tmp_path / "out")
    assert "zebra" in content
    assert CPF in content
    assert "Desconhecido" not in content


def test_who_exports_nothing(clinic: Clinic, tmp_path: Path) -> None:
    for role in (Role.NURSE, Role.RECEPTION, Role.ADMIN, Role.AUDITOR, Role.PATIENT):
        with pytest.raises(Forbidden):
            out(clinic, tmp_path / "out", "csv", make_person(clinic.databases, role, role.value))
    disabled = make_person(clinic.databases, Role.DOCTOR, "Foi Embora")
    with clinic.databases.session(Principal.MIGRATOR) as session:
        session.execute(text("UPDATE users SET disabled_at = now() WHERE id = :id"), {"id": disabled.id})
    for email in (disabled.email, "nobody@example.org", "import@sigilo.invalid"):
        with pytest.raises(Invalid):
            run_export(clinic.settings, tmp_path / "out", target_format="csv", email=email)
    assert not (tmp_path / "out").exists()


def test_inactive_patients_and_records_stay_in_the_house(
    clinic: Clinic, doctor: Person, write: Write, tmp_path: Path
) -> None:
    other = patient("other", name=[{"text": "Eva Inativa"}])
    clinic.take(write("b.ndjson", as_lines(whole_bundle(), bundle(other))), responsible=doctor.email)
    with clinic.databases.session(Principal.STAFF) as session:
        gone = "SET deleted_at = now(), deletion_reason = 'engano'"
        session.execute(text(f"UPDATE medical_records {gone}"))
        session.execute(text(f"UPDATE patients {gone} WHERE full_name = 'Eva Inativa'"))
    summary = out(clinic, tmp_path / "out", "csv", doctor)
    assert (summary.patients, summary.records) == (1, 0)
    again = clinic.take(write("b.ndjson", as_lines(whole_bundle(), bundle(other))))
    assert (again.taken, again.rejected) == (3, 0)
    late = encounter("late", "Patient/other")
    clinic.take(write("late.json", json.dumps(late)))
    assert clinic.reasons() == ["its patient was inactivated here"]


def test_what_goes_out_as_fhir_is_valid(clinic: Clinic, doctor: Person, tmp_path: Path) -> None:
    written_here(clinic, doctor)
    out(clinic, tmp_path / "out", "fhir", doctor)
    resources = [
        entry["resource"]
        for line in (tmp_path / "out" / "sigilo.ndjson").read_bytes().splitlines()
        for entry in json.loads(line)["entry"]
    ]
    for resource in resources:
        check_resource(resource)
        assert resource["meta"]["tag"][0]["display"].startswith("Sigilo ")
    assert {resource["resourceType"] for resource in resources} == set(MODELS) - {"MedicationRequest"}
    (person,) = (each for each in resources if each.get("birthDate"))
    assert {"system": "http://rnds.saude.gov.br/fhir/r4/NamingSystem/cpf", "value": CPF} in person["identifier"]
    assert person["name"][1] == {"use": "usual", "text": "Joana da Silva"}


def test_no_cell_is_a_formula(clinic: Clinic, doctor: Person, tmp_path: Path) -> None:
    written_here(clinic, doctor)
    out(clinic, tmp_path / "out", "csv", doctor)
    for path in (tmp_path / "out").iterdir():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_files_are_for_their_owner_and_the_folder_must_be_empty(clinic: Clinic, doctor: Person, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    out(clinic, folder, "csv", doctor)
    assert sorted(path.name for path in folder.iterdir()) == ["allergies.csv", "patients.csv", "records.csv"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(Invalid, match="is not empty"):
        out(clinic, folder, "fhir", doctor)
    with pytest.raises(Invalid, match="is no folder"):
        out(clinic, folder / "patients.csv", "fhir", doctor)
    with pytest.raises(Invalid, match="The format is one of fhir, csv"):
        out(clinic, tmp_path / "new", "pdf", doctor)


def half_an_export(folder: Path) -> float:
    with export_files(folder, ("a.csv", "b.csv")) as files:
        files[0].write(b"half of it")
        assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == []
        return 1 / 0


@pytest.mark.parametrize("exists", [True, False])
def test_an_export_that_fails_leaves_nothing(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "out"
    if exists:
        folder.mkdir()
    with pytest.raises(ZeroDivisionError):
        half_an_export(folder)
    assert folder.exists() is exists
    assert not exists or list(folder.iterdir()) == []
