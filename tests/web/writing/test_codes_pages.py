"""CID-10 codes in the record's form: found by words, and looked at beside the patient."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from config import Principal
from models import AuditOutbox, Cid10Code, Cid10Release, Patient
from models.engine import Databases
from services.cid10_file import read_table
from services.cid10_import import import_table
from services.demo_cid10 import put_demo_table
from tests.factories.cid10 import write_small
from tests.web.writing.writer import NEW, MakeRecord, Open, Writer, id_in, inputs_of, record_of

FIND = "/cid10/search"
BOX = {"HX-Request": "true", "HX-Target": "ul#cid10-options"}


def clear(databases: Databases) -> None:
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(delete(Cid10Code))
        session.execute(delete(Cid10Release))


@pytest.fixture
def no_codes(databases: Databases) -> Iterator[None]:
    clear(databases)
    yield
    clear(databases)


@pytest.fixture
def demo_codes(databases: Databases, no_codes: None) -> None:
    with databases.session(Principal.MIGRATOR) as session:
        put_demo_table(session)


@pytest.fixture
def clinic_codes(databases: Databases, no_codes: None, tmp_path: Path) -> None:
    """A clinic's own table: A17, I10 and N40, which is for men and causes no death."""
    write_small(tmp_path)
    with databases.session(Principal.MIGRATOR) as session:
        import_table(session, read_table(tmp_path))


def find(writer: Writer, words: str, *, in_box: bool = True, status: int = 200, **facts: str) -> str:
    token = inputs_of(writer.shown(NEW))["csrf_token"]
    answer = writer.send(FIND, {"q": words, "csrf_token": token, **facts}, status, **(BOX if in_box else {}))
    text: str = answer.get_data(as_text=True)
    return text


def check(writer: Writer, codes: str, **facts: str) -> str:
    fields = writer.fill(NEW) | {"cid10Codes": codes, "_field": "cid10Codes", **facts}
    text: str = writer.send("/medical-records/check", fields, 200).get_data(as_text=True)
    return text


def change(databases: Databases, patient_id: uuid.UUID, **values: Any) -> None:
    with databases.session(Principal.STAFF) as session:
        session.execute(update(Patient).where(Patient.id == patient_id).values(**values))


@pytest.mark.usefixtures("demo_codes")
def test_the_box_offers_codes_for_words(doctor: Writer) -> None:
    found = find(doctor, "pressão alta")
    first = re.search(r'<li role="option" id="code-I10"[^>]*data-value="I10"[^>]*>(.*?)</li>', found)
    assert first is not None and "Hipertensão essencial (primária)" in first[1]
    assert "<html" not in found
    assert found.count("data-value") <= 8
    assert "Nenhum código encontrado" in find(doctor, "zyxwv") and find(doctor, " ") == ""


@pytest.mark.usefixtures("demo_codes")
def test_without_a_script_the_codes_are_a_page(doctor: Writer) -> None:
    form = re.search(r'<form id="cid10-search-form"[^>]*>', doctor.shown(NEW))
    assert form is not None and f'action="{FIND}"' in form[0] and 'target="_blank"' in form[0]
    page = find(doctor, "próstata", in_box=False, sex="FEMALE")
    assert "<html" in page and "N40" in page and "só para o outro sexo" in page
    assert 'name="sex" value="FEMALE"' in page, "the next search from this page knows it too"
    assert FIND in doctor.shown(FIND)


@pytest.mark.usefixtures("demo_codes")
@pytest.mark.parametrize(
    "words", ["'; DROP TABLE cid10_codes; --", "<script>alert(1)</script>", "%", "a\0b", "x" * 9000], ids=range(5)
)
def test_odd_words_find_nothing_and_break_nothing(doctor: Writer, words: str) -> None:
    for in_box in (True, False):
        assert "<script>alert" not in find(doctor, words, in_box=in_box)


@pytest.mark.usefixtures("demo_codes")
def test_nobody_learns_of_a_search(
    doctor: Writer, databases: Databases, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    token = inputs_of(doctor.shown(NEW))["csrf_token"]
    events = select(func.count()).select_from(AuditOutbox)
    with databases.session(Principal.WORKER) as session:
        before = session.execute(events).scalar_one()
    capfd.readouterr()
    doctor.send(FIND, {"q": "enxaqueca da paciente Beatriz", "csrf_token": token}, 200, **BOX)
    with databases.session(Principal.WORKER) as session:
        assert session.execute(events).scalar_one() == before, "it reads no patient, so there is no event"
    written = "".join(capfd.readouterr()) + caplog.text
    assert "enxaqueca" not in written and "Beatriz" not in written


@pytest.mark.usefixtures("no_codes")
def test_without_a_table_the_form_is_as_it_was(doctor: Writer) -> None:
    page = doctor.shown(NEW)
    assert 'id="cid10Codes"' in page and "cid10-search" not in page.replace('form="cid10-search-form"', "")
    assert "caution" not in check(doctor, "N40, Z99.9", sex="FEMALE", deceased="true")
    assert "Ainda não há tabela CID-10" in doctor.shown(FIND)


@pytest.mark.usefixtures("clinic_codes")
def test_what_is_odd_is_said_when_the_field_is_left_and_is_no_error(doctor: Writer) -> None:
    said = check(doctor, "N40 Z99.9 i10", sex="FEMALE", deceased="true")
    assert 'id="cid10Codes-error" aria-live="polite">' in said and "<svg" in said, "i10 has no form of a code"
    assert "caution" not in said
    said = check(doctor, "N40 Z99.9 I10", sex="FEMALE", deceased="true")
    assert re.search(r'id="cid10Codes-error"[^>]*></span>', said), "nothing is wrong"
    assert said.count('<li class="caution">') == 3
    for words in ("só para o outro sexo", "causa improvável de óbito", "não está na tabela CID-10 desta clínica"):
        assert words in said
    assert "caution" not in check(doctor, "N40 I10", sex="MALE")
    assert "caution" not in check(doctor, "N40", sex="whatever")


@pytest.mark.usefixtures("clinic_codes")
def test_the_form_shows_what_is_odd_and_saves_it_all_the_same(
    doctor: Writer, databases: Databases, patient_id: uuid.UUID
) -> None:
    change(databases, patient_id, sex="FEMALE", deceased_at=datetime(2026, 1, 2, tzinfo=UTC))
    path = f"{NEW}?patientId={patient_id}"
    page = doctor.shown(path)
    assert re.search(r'<input type="hidden" form="cid10-search-form" name="sex" value="FEMALE"', page)
    assert re.search(r'<input type="hidden" form="cid10-search-form" name="deceased" value="true"', page)
    fields = doctor.fill(path, title="", cid10Codes="N40")
    assert {"sex", "deceased"} & set(fields) == set(), "no fields of a record"
    refused = doctor.send(NEW, fields, 422).get_data(as_text=True)
    assert refused.count('<li class="caution">') == 2, "for the title alone it was refused"
    saved = id_in(doctor.send(NEW, fields | {"title": "Retorno"}).headers["Location"])
    assert record_of(databases, saved).cid10_codes == ["N40"]
    assert doctor.shown(f"/medical-records/{saved}/edit").count('<li class="caution">') == 2


@pytest.mark.usefixtures("clinic_codes")
def test_a_patient_who_is_chosen_later_is_looked_at_too(
    doctor: Writer, databases: Databases, patient_id: uuid.UUID
) -> None:
    change(databases, patient_id, sex="FEMALE")
    fields = doctor.fill(NEW) | {"patientId": str(patient_id), "cid10Codes": "N40"}
    chosen = doctor.send(f"{NEW}/chosen", fields, 200)
    # The codes ask anew then, with what the page says of the patient by now.
    assert chosen.headers["HX-Trigger"] == "sigilo:patient-chosen"
    assert "sigilo:patient-chosen from:body" in doctor.shown(NEW)
    told = re.findall(r'name="(\w+)" value="(\w+)" data-about-patient', chosen.get_data(as_text=True))
    assert told == [("sex", "FEMALE")]
    looked = doctor.send("/medical-records/check", fields | dict(told) | {"_field": "cid10Codes"}, 200)
    assert "só para o outro sexo" in looked.get_data(as_text=True)


@pytest.mark.usefixtures("clinic_codes")
def test_a_nurse_who_may_not_write_codes_is_offered_none(open_as: Open, make_record: MakeRecord) -> None:
    page = open_as("nurse").shown(f"/medical-records/{make_record()}/edit")
    assert 'id="cid10-search"' not in page and 'id="cid10Codes"' not in page
