"""Break-glass from the pages: begun, shown, ended, reviewed; who sees what of it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask, render_template_string
from sqlalchemy import select, update

from config import Principal, Settings
from models import AuditOutbox, BreakGlassGrant
from models.engine import Databases
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.audit.trail import drain_all
from tests.factories.cast import Cast, Person, join_team, make_cpf, make_patient, make_person
from tests.factories.emergency import REASON, make_grant
from tests.web.conftest import Browser, MakeApp
from tests.web.signed_in import signed_in
from web.guards import SIGNED_IN, Routes

WHY = "Dor torácica no plantão"
STRIP = "{% with patient_id = patient %}{% include 'components/break_glass_active.html' %}{% endwith %}"
BrowserOf = Callable[[str | Person], Browser]


@pytest.fixture
def browser_of(app: Flask, databases: Databases, cast: Cast) -> BrowserOf:
    """A browser that somebody of the cast is signed in at."""

    def open_browser(who: str | Person) -> Browser:
        return signed_in(app, databases, cast.people[who] if isinstance(who, str) else who)

    return open_browser


@pytest.fixture
def cpf() -> str:
    return make_cpf()


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast, cpf: str) -> uuid.UUID:
    """A patient of doctor and nurse, with a record that the doctor wrote."""
    made = make_patient(databases, settings, "Íris Cordeiro", responsible_id=cast.doctor.id, cpf=cpf)
    join_team(databases, made, cast.doctor.id, "RESPONSIBLE")
    join_team(databases, made, cast.nurse.id)
    return made


def dotted(cpf: str) -> str:
    return f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"


def grants_of(databases: Databases, patient_id: uuid.UUID) -> list[BreakGlassGrant]:
    with databases.session(Principal.STAFF) as session:
        return list(session.scalars(select(BreakGlassGrant).where(BreakGlassGrant.patient_id == patient_id)))


def glass(patient_id: uuid.UUID) -> str:
    return f"/patients/{patient_id}/break-glass"


def test_the_glass_is_broken_by_a_form_and_leads_back(
    browser_of: BrowserOf, databases: Databases, patient_id: uuid.UUID, cpf: str
) -> None:
    browser = browser_of("doctor2")
    page = browser.get(glass(patient_id)).get_data(as_text=True)
    assert f"***.{dotted(cpf)[4:11]}-**" in page and dotted(cpf) not in page
    answer = browser.post(
        glass(patient_id), {"preset": "EMERGENCY", "reason": WHY, "next": "/medical-records/1?x=y"}
    )
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/medical-records/1?x=y&done=glass-broken"
    [grant] = grants_of(databases, patient_id)
    assert grant.reason == f"EMERGENCY: {WHY}"
    page = browser.get(glass(patient_id)).get_data(as_text=True)
    assert dotted(cpf) in page
    assert f"Emergência: {WHY}" in page


@pytest.mark.parametrize("elsewhere", ["https://example.org/", "//example.org", "javascript:alert(1)", "/\\x"])
def test_it_leads_nowhere_else(browser_of: BrowserOf, patient_id: uuid.UUID, elsewhere: str) -> None:
    answer = browser_of("doctor2").post(glass(patient_id), {"reason": WHY, "next": elsewhere})
    assert answer.headers["Location"] == f"/patients/{patient_id}?done=glass-broken"


@pytest.mark.parametrize(
    "form",
    [{"reason": ""}, {"reason": "curto"}, {"reason": "." * 20}, {"reason": WHY, "preset": "BOREDOM"}, {"preset": ""}],
)
def test_a_bad_reason_is_asked_for_again_and_changes_nothing(
    browser_of: BrowserOf, databases: Databases, patient_id: uuid.UUID, form: dict[str, str]
) -> None:
    answer = browser_of("doctor2").post(glass(patient_id), {**form, "next": "/somewhere"})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert 'id="form-errors"' in page
    assert 'value="/somewhere"' in page and form.get("reason", "") in page
    assert grants_of(databases, patient_id) == []


def test_every_page_of_the_patient_says_so_with_one_line(
    make_own_app: MakeApp, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    routes = Routes("strip")
    routes.add(
        "/strip/<uuid:patient_id>", guard=SIGNED_IN, endpoint="strip",
        view=lambda patient_id: render_template_string(STRIP, patient=str(patient_id)),
    )  # fmt: skip
    app = make_own_app(routes)
    passing = make_person(databases, cast.doctor.actor.role, "Ivo Breve")
    grant = make_grant(databases, passing, patient_id, minutes_left=10)

    def strip(person: Person, patient: uuid.UUID = patient_id) -> str:
        return signed_in(app, databases, person).get(f"/strip/{patient}").get_data(as_text=True).strip()

    shown = strip(passing)
    assert f'action="/emergency-accesses/{grant}/end"' in shown
    assert 590 <= int(re.findall(r'data-glass-seconds="(\d+)"', shown)[0]) <= 600
    assert f'value="/strip/{patient_id}"' in shown
    assert [strip(each) for each in (cast.doctor, cast.doctor2, cast.admin, cast.patient)] == [""] * 4
    assert strip(passing, cast.stranger_id) == ""
    join_team(databases, patient_id, passing.id)
    assert strip(passing) == "", "on the team there is nothing to end"


def test_security_38_ended_early_everything_is_masked_again(
    browser_of: BrowserOf, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID, cpf: str
) -> None:
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(patient_id, {"title": "Consulta", "diagnosis": "Diagnóstico sigiloso"})
        record_id = create_record(session, cast.doctor.actor, field_cipher(settings), new).record.id
    browser = browser_of("doctor2")
    for preset in ("EMERGENCY", "COVERING"):
        browser.post(glass(patient_id), {"preset": preset, "reason": WHY, "next": ""})
    url = f"/api/medical-records/{record_id}"
    clear = browser.client.get(url)
    assert clear.get_json()["diagnosis"] == "Diagnóstico sigiloso"
    first = grants_of(databases, patient_id)[0]
    answer = browser.post(f"/emergency-accesses/{first.id}/end", {"next": "/me"}, form=glass(patient_id))
    assert answer.headers["Location"] == "/me?done=glass-closed"
    masked = browser.client.get(url, headers={"If-None-Match": clear.headers["ETag"]})
    assert masked.status_code == 200 and masked.get_json()["diagnosis"] is None
    page = browser.get(glass(patient_id)).get_data(as_text=True)
    assert dotted(cpf) not in page and "data-glass-seconds" not in page
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox.entity_id).where(
            AuditOutbox.action == "break_glass.end", AuditOutbox.patient_id == patient_id
        )
        assert set(session.scalars(query)) == {grant.id for grant in grants_of(databases, patient_id)}
    again = browser.post(f"/emergency-accesses/{first.id}/end", {}, form=glass(patient_id))
    assert again.status_code == 303, "ending twice does no harm"


def test_security_38_at_its_end_everything_is_masked_again(
    browser_of: BrowserOf, databases: Databases, patient_id: uuid.UUID, cpf: str
) -> None:
    browser = browser_of("nurse2")
    browser.post(glass(patient_id), {"reason": WHY, "next": ""})
    over = datetime.now(UTC) - timedelta(seconds=1)
    with databases.session(Principal.MIGRATOR) as session:  # staff may end an access, not date its beginning back
        session.execute(
            update(BreakGlassGrant)
            .where(BreakGlassGrant.patient_id == patient_id)
            .values(granted_at=over - timedelta(minutes=30), expires_at=over)
        )
    page = browser.get(glass(patient_id)).get_data(as_text=True)
    assert dotted(cpf) not in page and "data-glass-seconds" not in page


@pytest.mark.parametrize(
    ("who", "sees_names", "sees_reason"),
    [("doctor", True, True), ("nurse", True, True), ("admin", True, False), ("auditor", False, False)],
)
def test_a_list_and_an_access_through_each_mask(
    browser_of: BrowserOf, databases: Databases, cast: Cast, patient_id: uuid.UUID, who: str, sees_names: bool,
    sees_reason: bool,
) -> None:  # fmt: skip
    grant = make_grant(databases, cast.nurse2, patient_id)
    browser = browser_of(who)
    for path in ("/emergency-accesses", f"/emergency-accesses/{grant}"):
        source = _to_the_end(browser, path)
        assert str(grant) in source
        assert ("Íris Cordeiro" in source) is sees_names, path
        assert ("Caio Lima" in source) is sees_names, path
        assert ("dor no peito" in source) is sees_reason, path


def test_a_doctor_of_another_team_sees_none_of_it(
    browser_of: BrowserOf, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    grant = make_grant(databases, cast.doctor2, patient_id)
    source = browser_of("doctor2").get("/emergency-accesses").get_data(as_text=True)
    assert str(grant) not in source and "Íris" not in source
    other = browser_of(make_person(databases, cast.doctor.actor.role, "Lia Campos"))
    assert other.get(f"/emergency-accesses/{grant}").status_code == 404
    refused = other.post(f"/emergency-accesses/{grant}/review", {"verdict": "JUSTIFIED"}, form="/password")
    assert refused.status_code == 404
    assert grants_of(databases, patient_id)[0].verdict is None


def test_what_was_read_meanwhile_is_shown_to_the_team_and_not_to_the_admin(
    browser_of: BrowserOf, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(patient_id, {"title": "Consulta", "diagnosis": "x"})
        record_id = create_record(session, cast.doctor.actor, field_cipher(settings), new).record.id
    reader = browser_of("doctor2")
    reader.post(glass(patient_id), {"reason": WHY, "next": ""})
    reader.client.get(f"/api/medical-records/{record_id}")
    reader.client.get(f"/api/medical-records?patientId={patient_id}")
    [grant] = grants_of(databases, patient_id)
    drain_all(databases)
    source = browser_of("doctor").get(f"/emergency-accesses/{grant.id}").get_data(as_text=True)
    assert f'href="/medical-records/{record_id}"' in source
    assert "viu uma lista de registros" in source, "a list names no grant and counts all the same"
    auditor = browser_of("auditor").get(f"/emergency-accesses/{grant.id}").get_data(as_text=True)
    assert "leu um registro" in auditor and f'href="/medical-records/{record_id}"' not in auditor
    assert "leu um registro" not in browser_of("admin").get(f"/emergency-accesses/{grant.id}").get_data(as_text=True)


def test_security_30_a_review_is_kept_and_in_the_trail(
    browser_of: BrowserOf, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    grant = make_grant(databases, cast.doctor2, patient_id)
    path = f"/emergency-accesses/{grant}"
    auditor = browser_of("auditor")
    answer = auditor.post(f"{path}/review", {"verdict": "FOLLOW_UP", "note": "Ouvir a chefia"}, form=path)
    assert answer.headers["Location"] == f"{path}?done=access-reviewed"
    source = auditor.get(path).get_data(as_text=True)
    assert "Precisa de acompanhamento" in source and "Ouvir a chefia" in source
    assert str(grant) in _to_the_end(auditor, "/emergency-accesses?review=follow-up")
    assert "Ouvir a chefia" not in browser_of("admin").get(path).get_data(as_text=True)
    doctor = browser_of("doctor")
    concluded = {"verdict": "JUSTIFIED", "note": "", "follows": follows_of(doctor, path)}
    assert doctor.post(f"{path}/review", concluded, form=path).status_code == 303
    for followed in ({}, {"follows": concluded["follows"]}):
        overruled = {"verdict": "NOT_JUSTIFIED", "note": "Não", **followed}
        again = doctor.post(f"{path}/review", overruled, form="/password")
        assert again.status_code == 409
        assert "essa avaliação é definitiva" in again.get_data(as_text=True)
    [kept] = grants_of(databases, patient_id)
    assert (kept.verdict, kept.reviewed_by, kept.review_note) == ("JUSTIFIED", cast.doctor.id, None)
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox).where(AuditOutbox.action == "break_glass.review", AuditOutbox.entity_id == grant)
        events = list(session.scalars(query.order_by(AuditOutbox.id)))
    assert [(event.actor_id, event.basis) for event in events] == [
        (cast.auditor.id, "auditor"), (cast.doctor.id, "care-team"),
    ]  # fmt: skip
    assert {event.patient_id for event in events} == {patient_id}
    first, second = ({change["field"]: change for change in event.changes or ()} for event in events)
    assert set(first) == {"verdict", "note", "reviewerId", "reviewedAt"} == set(second)
    assert all(change["before"] is None and change["after"] for change in first.values())
    assert all(change["before"] and change["before"] != change["after"] for change in second.values())
    assert second["note"]["after"] is None, "the note of the follow-up went, and the trail says so"
    assert "chefia" not in str([event.changes for event in events])


def test_nobody_concludes_a_review_that_they_did_not_see(
    browser_of: BrowserOf, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    """Two people have the page open; what the first found is not gone when the second presses the button."""
    grant = make_grant(databases, cast.doctor2, patient_id)
    path = f"/emergency-accesses/{grant}"
    auditor, doctor = browser_of("auditor"), browser_of("doctor")
    assert follows_of(doctor, path) == ""
    auditor.post(f"{path}/review", {"verdict": "FOLLOW_UP", "note": "Ouvir a chefia"}, form=path)
    late = doctor.post(f"{path}/review", {"verdict": "JUSTIFIED"}, form=path)
    assert late.status_code == 409
    assert "Alguém avaliou este acesso nesse meio-tempo" in late.get_data(as_text=True)
    [kept] = grants_of(databases, patient_id)
    assert (kept.verdict, kept.review_note) == ("FOLLOW_UP", "Ouvir a chefia")




def test_nobody_reviews_their_own(
    browser_of: BrowserOf, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    """Not even once the doctor has joined the care team."""
    passing = make_person(databases, cast.doctor.actor.role, "Ivo Breve")
    grant = make_grant(databases, passing, patient_id)
    join_team(databases, patient_id, passing.id)
    browser = browser_of(passing)
    page = browser.get(f"/emergency-accesses/{grant}").get_data(as_text=True)
    assert 'name="verdict"' not in page and "Ninguém revisa o próprio acesso" in page
    answer = browser.post(f"/emergency-accesses/{grant}/review", {"verdict": "JUSTIFIED"}, form="/password")
    assert answer.status_code == 403
    assert "Ninguém revisa o próprio acesso de emergência" in answer.get_data(as_text=True)
    assert grants_of(databases, patient_id)[0].verdict is None


def test_a_review_waits_for_the_end_and_says_why(
    browser_of: BrowserOf, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    doctor = browser_of("doctor")
    running = make_grant(databases, cast.doctor2, patient_id, minutes_left=5)
    answer = doctor.post(f"/emergency-accesses/{running}/review", {"verdict": "JUSTIFIED"}, form="/password")
    assert answer.status_code == 409
    over = make_grant(databases, cast.doctor2, patient_id)
    path = f"/emergency-accesses/{over}"
    for form in ({"verdict": "NOT_JUSTIFIED", "note": "  "}, {"verdict": "PERHAPS"}, {"note": "Só texto"}):
        answer = doctor.post(f"{path}/review", form, form=path)
        assert answer.status_code == 422
        assert form.get("note", "").strip() in answer.get_data(as_text=True)
    assert {grant.verdict for grant in grants_of(databases, patient_id)} == {None}


def test_the_list_goes_on_page_by_page(
    browser_of: BrowserOf, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    grants = {str(make_grant(databases, cast.doctor2, patient_id)) for _ in range(23)}
    source = _to_the_end(browser_of("doctor"), "/emergency-accesses")
    found = re.findall(r'href="/emergency-accesses/([0-9a-f-]{36})"><b>', source)
    assert len(found) == len(set(found))
    assert grants <= set(found)
    assert REASON.split(", ")[1] in source


def _to_the_end(browser: Browser, path: str) -> str:
    """The sources of a list's pages, one after the other, as htmx asks for them."""
    source = browser.get(path).get_data(as_text=True)
    whole = source
    while found := re.search(r'hx-get="(/emergency-accesses\?[^"]*cursor=[^"]+)"', source):
        headers = {"HX-Request": "true", "HX-Target": "li#accesses-more"}
        source = browser.get(found[1].replace("&amp;", "&"), headers=headers).get_data(as_text=True)
        assert "<html" not in source
        whole += source
    return whole


def follows_of(browser: Browser, path: str) -> str:
    """Which review the form on the page would conclude; empty for none."""
    found = re.search(r'name="follows" value="([^"]+)"', browser.get(path).get_data(as_text=True))
    return found[1] if found else ""
