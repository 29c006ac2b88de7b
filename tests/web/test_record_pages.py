"""The record's pages: what each role finds in their source, and what acts do."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from config import Principal, Settings
from models import AuditOutbox, BreakGlassGrant, MedicalRecord, Visit
from models.engine import Databases
from services.field_encryption import field_cipher
from services.record_update import may_update, update_record
from tests.factories.cast import Cast, join_team, make_patient, make_person
from tests.services.test_query_counts import statements_sent
from tests.web.record_pages import CLINICAL, SECRETS, browser_of, text_of, write

URL = "/medical-records"


@pytest.fixture
def record_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    return write(databases, settings, cast.doctor, cast.patient_id, cid10Codes=["I10"], **CLINICAL)


@pytest.fixture
def restricted_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    return write(
        databases, settings, cast.doctor, cast.patient_id, title="Sorologia reagente", kind="EXAM", priority="CRITICAL",
        restricted=True, cid10Codes=["I10"], **CLINICAL,
    )  # fmt: skip


def correct(
    databases: Databases, settings: Settings, cast: Cast, record_id: uuid.UUID, version: int, **content: Any
) -> None:
    with databases.session(Principal.STAFF) as session:
        access = may_update(session, cast.doctor.actor, record_id)
        reason = content.pop("reason", None)
        cipher = field_cipher(settings)
        update_record(session, cast.doctor.actor, cipher, access, version=version, content=content, reason=reason)


def actions_of(databases: Databases, entity_id: uuid.UUID, outcome: str = "success") -> list[str]:
    """Actions of the events about one thing, oldest first."""
    wanted = select(AuditOutbox.action).where(AuditOutbox.entity_id == entity_id, AuditOutbox.outcome == outcome)
    with databases.session(Principal.WORKER) as session:
        return list(session.scalars(wanted.order_by(AuditOutbox.id)))


def stored(databases: Databases, record_id: uuid.UUID) -> MedicalRecord:
    with databases.session(Principal.STAFF) as session:
        return session.get_one(MedicalRecord, record_id)


@pytest.mark.parametrize("who", ["doctor", "nurse", "patient"])
def test_inside_all_is_there(app: Flask, databases: Databases, cast: Cast, record_id: uuid.UUID, who: str) -> None:
    page = browser_of(app, databases, cast.people[who]).get(f"{URL}/{record_id}")
    source = page.get_data(as_text=True)
    assert page.status_code == 200
    assert all(secret in source for secret in SECRETS)
    assert 'class="masked"' not in source
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("who", ["doctor2", "nurse2", "reception", "admin"])
@pytest.mark.parametrize("path", ["", "/versions"])
def test_security_38_a_masked_value_is_nowhere_in_the_source(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, record_id: uuid.UUID, who: str, path: str
) -> None:
    correct(databases, settings, cast, record_id, 1, treatment="Losartana 50 mg de 12 em 12 horas")
    write(
        databases, settings, cast.doctor, cast.patient_id, amends_id=record_id, title="Contato", notes="Nega cefaleia"
    )
    source = browser_of(app, databases, cast.people[who]).get(f"{URL}/{record_id}{path}").get_data(as_text=True)
    assert not any(secret in source for secret in (*SECRETS, "12 em 12"))
    assert 'class="masked"' in source
    assert ("Consulta de rotina" in source) is (who in ("doctor2", "nurse2"))
    assert "Ana Moura" in source and "Conceição Ávila" in source


@pytest.mark.parametrize("who", ["doctor2", "nurse2", "reception", "admin"])
def test_security_38_of_a_restricted_record_outsiders_find_kind_date_and_author(
    app: Flask, databases: Databases, cast: Cast, restricted_id: uuid.UUID, who: str
) -> None:
    browser = browser_of(app, databases, cast.people[who])
    for path in (f"{URL}/{restricted_id}", f"{URL}/{restricted_id}/versions", f"{URL}?patientId={cast.patient_id}"):
        source = browser.get(path).get_data(as_text=True)
        assert not any(secret in source for secret in ("Sorologia", *SECRETS)), path
    shown = text_of(browser.get(f"{URL}/{restricted_id}").get_data(as_text=True))
    assert "Exame" in shown and "Ana Moura" in shown and "CRM-SP 123456" in shown
    assert "Crítica" not in shown and "fecha em" not in shown


def test_the_page_is_audited_as_the_reads_it_is(
    app: Flask, databases: Databases, settings: Settings, cast: Cast
) -> None:
    patient_id = make_patient(databases, settings, "Lida Uma Vez")
    record_id = write(databases, settings, cast.doctor, patient_id)
    browser_of(app, databases, cast.doctor2).get(f"{URL}/{record_id}")
    assert actions_of(databases, record_id) == [
        "medical_record.create", "medical_record.read", "medical_record.read_versions",
    ]  # fmt: skip
    assert actions_of(databases, patient_id) == ["patient.read", "care_team.list"]


def test_line_breaks_stay_and_markup_is_text(app: Flask, databases: Databases, settings: Settings, cast: Cast) -> None:
    record_id = write(databases, settings, cast.doctor, cast.patient_id, notes="um\n<b>dois</b>")
    source = browser_of(app, databases, cast.doctor).get(f"{URL}/{record_id}").get_data(as_text=True)
    assert '<dd class="text">um\n&lt;b&gt;dois&lt;/b&gt;</dd>' in source


def test_only_what_would_not_be_refused_is_offered(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, record_id: uuid.UUID
) -> None:
    def offered(who: str) -> set[str]:
        source = browser_of(app, databases, cast.people[who]).get(f"{URL}/{record_id}").get_data(as_text=True)
        acts = set(re.findall(rf'(?:href|action)="{URL}/{record_id}/(edit|close|inactivate|restore)"', source))
        acts |= {"addendum"} if f"new?amendsId={record_id}" in source else set()
        return acts | ({"break-glass"} if "/break-glass" in source else set())

    assert offered("doctor") == {"edit", "close", "inactivate", "addendum"}
    assert offered("nurse") == {"edit", "addendum"}
    assert offered("doctor2") == offered("nurse2") == {"break-glass"}
    assert offered("reception") == offered("admin") == offered("patient") == set()
    browser_of(app, databases, cast.doctor).post(f"{URL}/{record_id}/close", form=f"{URL}/{record_id}")
    assert offered("doctor") == {"edit", "inactivate", "addendum"}
    assert offered("nurse") == {"addendum"}


def test_an_author_outside_the_team_needs_no_emergency_access(
    app: Flask, databases: Databases, settings: Settings, cast: Cast
) -> None:
    record_id = write(databases, settings, cast.doctor2, cast.stranger_id, **CLINICAL)
    source = browser_of(app, databases, cast.doctor2).get(f"{URL}/{record_id}").get_data(as_text=True)
    assert CLINICAL["notes"] in source and "/break-glass" not in source and "/edit" in source


def test_an_emergency_access_opens_and_ends(
    app: Flask, databases: Databases, cast: Cast, settings: Settings, record_id: uuid.UUID
) -> None:
    outsider = make_person(databases, cast.doctor2.actor.role, "Olga Plantão")
    now = datetime.now(UTC)
    with databases.session(Principal.STAFF) as session:
        grant = BreakGlassGrant(
            patient_id=cast.patient_id, user_id=outsider.id, acting_role="DOCTOR", reason="Emergência no plantão",
            granted_at=now, expires_at=now + timedelta(minutes=30),
        )  # fmt: skip
        session.add(grant)
    browser = browser_of(app, databases, outsider)
    source = browser.get(f"{URL}/{record_id}").get_data(as_text=True)
    assert all(secret in source for secret in SECRETS)
    assert "/break-glass" not in source and "/edit" not in source, "it reads and changes nothing"
    local = (now + timedelta(minutes=30)).astimezone(settings.timezone)
    assert f"Acesso de emergência até {local:%H:%M}" in source
    with databases.session(Principal.STAFF) as session:
        session.get_one(BreakGlassGrant, grant.id).expires_at = now + timedelta(microseconds=1)
    source = browser.get(f"{URL}/{record_id}").get_data(as_text=True)
    assert not any(secret in source for secret in SECRETS) and "/break-glass" in source


def test_addenda_and_the_visit_stand_with_the_record(
    app: Flask, databases: Databases, settings: Settings, cast: Cast
) -> None:
    patient_id = make_patient(databases, settings, "Com Visita")
    join_team(databases, patient_id, cast.doctor.id)
    with databases.session(Principal.STAFF) as session:
        visit = Visit(patient_id=patient_id, reason="Dor nas costas", priority="LOW", doctor_id=cast.doctor.id)
        session.add(visit)
    record_id = write(databases, settings, cast.doctor, patient_id, visit_id=visit.id)
    for title in ("Primeiro adendo", "Segundo adendo"):
        write(databases, settings, cast.doctor, patient_id, amends_id=record_id, title=title)
    shown = text_of(browser_of(app, databases, cast.doctor).get(f"{URL}/{record_id}").get_data(as_text=True))
    assert shown.index("Primeiro adendo") < shown.index("Segundo adendo")
    assert "Dor nas costas" in shown
    assert actions_of(databases, visit.id) == ["visit.read"]
    write(databases, settings, cast.doctor, patient_id, visit_id=visit.id, restricted=True)
    shown = text_of(browser_of(app, databases, cast.doctor2).get(f"{URL}/{record_id}").get_data(as_text=True))
    assert "Dor nas costas" not in shown


def test_closing(app: Flask, databases: Databases, cast: Cast, record_id: uuid.UUID) -> None:
    browser = browser_of(app, databases, cast.doctor)
    answer = browser.post(f"{URL}/{record_id}/close")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{URL}/{record_id}?done=record-closed")
    assert "Registro fechado" in browser.get(answer.headers["Location"]).get_data(as_text=True)
    assert stored(databases, record_id).closes_at <= datetime.now(UTC)
    assert browser.get(f"{URL}/{record_id}/close").status_code == 403


def test_inactivating_takes_a_reason_and_can_be_undone(
    app: Flask, databases: Databases, cast: Cast, record_id: uuid.UUID
) -> None:
    browser, item = browser_of(app, databases, cast.doctor), f"{URL}/{record_id}"
    refused = browser.post(f"{item}/inactivate", {"reason": "   ", "version": "1"})
    assert refused.status_code == 422
    source = refused.get_data(as_text=True)
    assert 'aria-invalid="true"' in source and "Preencha este campo." in source
    assert stored(databases, record_id).deleted_at is None
    stale = browser.post(f"{item}/inactivate", {"reason": "aberto duas vezes", "version": "7"})
    assert stale.status_code == 409 and stored(databases, record_id).deleted_at is None
    done = browser.post(f"{item}/inactivate", {"reason": "aberto duas vezes", "version": "1"})
    assert done.status_code == 303
    gone = browser.get(item)
    assert gone.status_code == 410 and f"{item}?includeDeleted=true" in gone.get_data(as_text=True)
    assert browser_of(app, databases, cast.doctor2).get(item).status_code == 404
    shown = browser.get(f"{item}?includeDeleted=true").get_data(as_text=True)
    assert "aberto duas vezes" in shown and f"{item}/edit" not in shown
    assert browser.post(f"{item}/restore", {"reason": ""}).status_code == 422
    assert browser.post(f"{item}/restore", {"reason": "era válido"}).status_code == 303
    assert stored(databases, record_id).deleted_at is None
    assert browser.get(item).status_code == 200


def test_security_20_a_field_that_is_not_the_forms_changes_nothing(
    app: Flask, databases: Databases, cast: Cast, record_id: uuid.UUID
) -> None:
    browser = browser_of(app, databases, cast.doctor)
    answer = browser.post(f"{URL}/{record_id}/inactivate", {"reason": "aberto duas vezes", "title": "outro"})
    assert answer.status_code == 422
    assert stored(databases, record_id).deleted_at is None


def test_a_dialog_gets_its_form_back_with_what_was_typed(
    app: Flask, databases: Databases, cast: Cast, record_id: uuid.UUID
) -> None:
    browser = browser_of(app, databases, cast.doctor)
    headers = {"HX-Request": "true", "HX-Target": "form#inactivate-form"}
    typed = "x" * 1001
    answer = browser.post(
        f"{URL}/{record_id}/inactivate", {"reason": typed, "version": "1"}, form=f"{URL}/{record_id}", headers=headers
    )
    source = answer.get_data(as_text=True)
    assert answer.status_code == 422 and source.strip().startswith('<form class="stack" id="inactivate-form"')
    assert typed in source
    done = browser.post(
        f"{URL}/{record_id}/inactivate", {"reason": "aberto duas vezes"}, form=f"{URL}/{record_id}", headers=headers
    )
    assert done.headers["HX-Redirect"] == f"{URL}/{record_id}?includeDeleted=true&done=record-inactivated"


def test_versions_compare_any_two(app: Flask, databases: Databases, settings: Settings, cast: Cast) -> None:
    record_id = write(databases, settings, cast.doctor, cast.patient_id, **CLINICAL)
    correct(databases, settings, cast, record_id, 1, priority="HIGH")
    correct(databases, settings, cast, record_id, 2, treatment="Losartana 100 mg", reason="dose corrigida")
    browser, item = browser_of(app, databases, cast.doctor), f"{URL}/{record_id}/versions"
    newest = browser.get(item).get_data(as_text=True)
    assert "<del>50</del><ins>100</ins>" in newest and "dose corrigida" in newest
    assert "<ins>Alta</ins>" not in newest, "the priority was the change before"
    both = browser.get(f"{item}?from=3&to=1").get_data(as_text=True)
    assert "<del>Normal</del> <ins>Alta</ins>" in both and "<del>50</del><ins>100</ins>" in both
    assert browser.get(f"{item}?from=1&to=9").status_code == 404
    assert browser.get(f"{item}?from=x").status_code == 422
    outside = browser_of(app, databases, cast.doctor2).get(item).get_data(as_text=True)
    assert "<ins>" not in outside and "dose corrigida" not in outside


def test_printing_is_an_act_of_its_own(app: Flask, databases: Databases, cast: Cast, record_id: uuid.UUID) -> None:
    browser = browser_of(app, databases, cast.doctor2)
    assert browser.get(f"{URL}/{record_id}/print").status_code == 405
    page = browser.post(f"{URL}/{record_id}/print", form=f"{URL}/{record_id}")
    shown = text_of(page.get_data(as_text=True))
    assert page.status_code == 200
    assert actions_of(databases, record_id)[-1] == "medical_record.print"
    assert "Sigilo 1.0.0" in shown and "Impresso por Paulo Reis · CRM-SP 123456 em " in shown
    assert not any(secret in shown for secret in SECRETS) and "Oculto: " in shown


def test_an_unknown_record_is_not_there_and_the_attempt_is_in_the_trail(
    app: Flask, databases: Databases, cast: Cast
) -> None:
    unknown = uuid.uuid4()
    browser = browser_of(app, databases, cast.doctor)
    assert browser.get(f"{URL}/{unknown}").status_code == 404
    assert actions_of(databases, unknown, "refused") == ["medical_record.read"]


def test_statements_do_not_grow_with_addenda_and_versions(
    app: Flask, databases: Databases, settings: Settings, cast: Cast
) -> None:
    record_id = write(databases, settings, cast.doctor, cast.patient_id)
    write(databases, settings, cast.doctor, cast.patient_id, amends_id=record_id)
    browser = browser_of(app, databases, cast.doctor)
    few = statements_sent(databases, lambda: browser.get(f"{URL}/{record_id}"))
    for number in range(1, 6):
        correct(databases, settings, cast, record_id, number, title=f"Consulta {number}")
        write(databases, settings, cast.doctor, cast.patient_id, amends_id=record_id)
    assert statements_sent(databases, lambda: browser.get(f"{URL}/{record_id}")) == few
