"""Unusual accesses as an auditor reads and reviews them, and their rules as an administrator sets them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import select, text

from config import Principal
from models import AccessAlert, AccessWatchBehind, AuditOutbox, SettingVersion
from models.engine import Databases
from models.user import Role
from services.access_rules import RULES, RuleKey, rules_in_force, setting_key
from services.change_token import ClinicState, change_token
from services.job_schedule import JOBS
from tests.factories.alert import make_alert
from tests.factories.cast import Cast, Person, make_person
from tests.services.test_query_counts import statements_sent
from tests.web.conftest import Browser
from tests.web.signed_in import signed_in

BrowserOf = Callable[[Person], Browser]
LIST = "/access-alerts"


@pytest.fixture
def browser_of(app: Flask, databases: Databases) -> BrowserOf:
    return lambda person: signed_in(app, databases, person)


@pytest.fixture
def auditor(browser_of: BrowserOf, cast: Cast) -> Browser:
    return browser_of(cast.auditor)


@pytest.fixture
def admin(app: Flask, databases: Databases, cast: Cast) -> Browser:
    """Who typed their password again: setting a rule asks for it."""
    return signed_in(app, databases, cast.admin, is_sure=True)


def kept(databases: Databases, alert_id: uuid.UUID) -> AccessAlert:
    with databases.session(Principal.WORKER) as session:
        return session.get_one(AccessAlert, alert_id)


def events_of(databases: Databases, action: str, entity_id: uuid.UUID | None) -> list[AuditOutbox]:
    with databases.session(Principal.WORKER) as session:
        wanted = select(AuditOutbox).where(AuditOutbox.action == action, AuditOutbox.entity_id == entity_id)
        return list(session.scalars(wanted.order_by(AuditOutbox.id)))


def review(browser: Browser, alert_id: uuid.UUID, **fields: str) -> tuple[int, str]:
    answer = browser.post(f"{LIST}/{alert_id}/review", fields, form="/me")
    return answer.status_code, answer.get_data(as_text=True)


def test_an_auditor_sees_what_was_found_with_ids_and_no_name(
    auditor: Browser, databases: Databases, cast: Cast
) -> None:
    patient = uuid.uuid4()
    alert_id = make_alert(
        databases, cast.doctor2, rule="family_name", subject_id=cast.stranger_id, patient_ids=[cast.stranger_id],
        count=2, threshold=1, window_minutes=1440,
    )  # fmt: skip
    many = make_alert(databases, cast.doctor2, patient_ids=[patient])
    pages = [auditor.get(path).get_data(as_text=True) for path in ("/", LIST, f"{LIST}/{alert_id}", f"{LIST}/{many}")]
    for page in pages[:3]:
        assert "Paciente com o sobrenome de quem acessou" in page and "2 acessos" in page
        assert str(cast.doctor2.id)[-8:] in page
    for page in pages:
        assert cast.doctor2.actor.name not in page and "Estranho" not in page
    assert "43 pacientes" in pages[3] and "40 pacientes em 1 hora" in pages[3]
    shown = pages[2].replace("&amp;", "&")
    days = r"&from=\d{4}-\d\d-\d\d&to=\d{4}-\d\d-\d\d"
    assert re.search(rf"/audit\?actorId={cast.doctor2.id}{days}&patientId={cast.stranger_id}", shown)
    assert f"patientId={patient}" in pages[3]


def test_every_look_at_alerts_is_an_event(auditor: Browser, databases: Databases, cast: Cast) -> None:
    alert_id = make_alert(databases, cast.doctor2)
    auditor.get(f"{LIST}/{alert_id}")
    [event] = events_of(databases, "access_alert.read", alert_id)
    assert (event.actor_id, event.outcome) == (cast.auditor.id, "success")
    auditor.get(LIST)
    assert alert_id in (events_of(databases, "access_alert.list", None)[-1].entity_ids or [])
    unknown = uuid.uuid4()
    assert auditor.get(f"{LIST}/{unknown}").status_code == 404
    assert {each.outcome for each in events_of(databases, "access_alert.read", unknown)} == {"refused"}


def test_a_review_is_kept_audited_and_final(auditor: Browser, databases: Databases, cast: Cast) -> None:
    alert_id = make_alert(databases, cast.doctor2)
    assert str(alert_id) in auditor.get(LIST).get_data(as_text=True)
    status, _ = review(auditor, alert_id, verdict="JUSTIFIED", note=" Mutirão de vacinas ", count="43")
    assert status == 303
    alert = kept(databases, alert_id)
    assert (alert.verdict, alert.review_note, alert.reviewed_by) == ("JUSTIFIED", "Mutirão de vacinas", cast.auditor.id)
    [event] = events_of(databases, "access_alert.review", alert_id)
    assert (event.actor_id, event.outcome) == (cast.auditor.id, "success")
    assert {change["field"] for change in event.changes or []} == {"verdict", "note"}
    assert "Mutirão" not in str(event.changes)
    assert str(alert_id) not in auditor.get(LIST).get_data(as_text=True)
    assert str(alert_id) in auditor.get(f"{LIST}?state=reviewed").get_data(as_text=True)
    page = auditor.get(f"{LIST}/{alert_id}").get_data(as_text=True)
    assert "Mutirão de vacinas" in page and 'name="verdict"' not in page
    status, said = review(auditor, alert_id, verdict="NOT_JUSTIFIED", note="outra coisa", count="43")
    assert status == 409 and "definitivo" in said
    assert kept(databases, alert_id).verdict == "JUSTIFIED"


@pytest.mark.parametrize(
    "fields",
    [
        {"verdict": "NOT_JUSTIFIED", "note": "  "}, {"verdict": "BORING"}, {"note": "x"},
        {"verdict": "JUSTIFIED", "note": "x" * 2001},
    ],
)  # fmt: skip
def test_a_review_that_says_too_little_is_asked_for_again(
    auditor: Browser, databases: Databases, cast: Cast, fields: dict[str, str]
) -> None:
    alert_id = make_alert(databases, cast.doctor2)
    status, page = review(auditor, alert_id, **fields)
    assert status == 422 and 'id="form-errors"' in page
    assert fields.get("note", "") in page
    assert kept(databases, alert_id).verdict is None
    assert events_of(databases, "access_alert.review", alert_id) == []


def test_nobody_reviews_what_is_about_them(
    auditor: Browser, browser_of: BrowserOf, databases: Databases, cast: Cast
) -> None:
    alert_id = make_alert(databases, cast.auditor, rule="exports", count=1, threshold=1, patient_ids=[])
    assert 'name="verdict"' not in auditor.get(f"{LIST}/{alert_id}").get_data(as_text=True)
    status, _ = review(auditor, alert_id, verdict="JUSTIFIED", count="1")
    assert status == 403 and kept(databases, alert_id).verdict is None
    other = browser_of(make_person(databases, Role.AUDITOR, "Ivo Lemos"))
    assert review(other, alert_id, verdict="FALSE_ALARM", count="1")[0] == 303


def test_an_alert_that_grew_is_read_again_first(auditor: Browser, databases: Databases, cast: Cast) -> None:
    alert_id = make_alert(databases, cast.doctor2)
    with databases.session(Principal.WORKER) as session:
        session.execute(text("UPDATE access_alerts SET count = 99 WHERE id = :id"), {"id": alert_id})
    status, said = review(auditor, alert_id, verdict="FALSE_ALARM", count="43")
    assert status == 409 and "Aconteceu mais" in said
    assert review(auditor, alert_id, verdict="FALSE_ALARM", count="99")[0] == 303


def test_pages_go_on_where_the_last_ended_and_rows_multiply_no_statement(
    auditor: Browser, databases: Databases, cast: Cast
) -> None:
    few = statements_sent(databases, lambda: auditor.get(LIST))
    made = [make_alert(databases, cast.doctor2) for _ in range(25)]
    assert statements_sent(databases, lambda: auditor.get(LIST)) == few
    found: list[str] = []
    path: str | None = LIST
    while path is not None:
        page = auditor.get(path).get_data(as_text=True)
        found += re.findall(r'class="who-what"><a href="/access-alerts/([0-9a-f-]+)"', page)
        more = re.search(r'href="(/access-alerts\?state=open&amp;cursor=[^"]+)"', page)
        path = None if more is None else more[1].replace("&amp;", "&")
    assert len(found) == len(set(found))
    assert [each for each in found if uuid.UUID(each) in made] == [str(each) for each in reversed(made)]
    assert auditor.get(f"{LIST}?cursor=nonsense").status_code == 422


def test_an_alert_is_news_to_auditors_alone(databases: Databases, cast: Cast) -> None:
    clinic = ClinicState(databases, kept_seconds=0)

    def tokens() -> dict[str, str]:
        people = cast.people.items()
        return {name: change_token(databases, clinic, person.actor, b"k" * 32) for name, person in people}

    before = tokens()
    alert_id = make_alert(databases, cast.doctor2)
    found = tokens()
    assert {name for name in before if found[name] != before[name]} == {"auditor"}
    with databases.session(Principal.WORKER) as session:
        session.execute(text("UPDATE access_alerts SET count = count + 1 WHERE id = :id"), {"id": alert_id})
    assert {name for name, token in tokens().items() if token != found[name]} == {"auditor"}


# rules


@pytest.fixture
def as_shipped(databases: Databases) -> Iterator[None]:
    """No rule is the clinic's own when a test begins, nor when it ends."""

    def forget() -> None:
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(text("DELETE FROM setting_versions WHERE key LIKE 'access_rule.%'"))
            session.execute(text("DELETE FROM settings WHERE key LIKE 'access_rule.%'"))

    forget()
    yield
    forget()


NIGHT = {"rule": "at_night", "isOn": "true", "threshold": "5", "fromHour": "20", "untilHour": "7", "version": "0"}


def change(browser: Browser, **fields: str) -> tuple[int, str]:
    answer = browser.post("/access-rules", fields, form="/access-rules?rule=at_night")
    return answer.status_code, answer.get_data(as_text=True)


def versions(databases: Databases, key: RuleKey) -> list[SettingVersion]:
    with databases.session(Principal.STAFF) as session:
        wanted = select(SettingVersion).where(SettingVersion.key == setting_key(key))
        return list(session.scalars(wanted.order_by(SettingVersion.version)))


def test_setting_a_rule_asks_for_the_password(
    browser_of: BrowserOf, databases: Databases, cast: Cast, as_shipped: None
) -> None:
    browser = browser_of(cast.admin)
    fields = {**NIGHT, "reason": "plantão mais curto"}
    answer = browser.post("/access-rules", fields, form="/access-rules?rule=at_night")
    assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (303, "/step-up")
    assert versions(databases, RuleKey.AT_NIGHT) == []


def test_every_rule_is_shown_and_has_a_form_but_the_one_that_is_fixed(admin: Browser, as_shipped: None) -> None:
    page = admin.get("/access-rules").get_data(as_text=True)
    for key, rule in RULES.items():
        assert f"?rule={key.value}" in page
        shown = admin.get(f"/access-rules?rule={key.value}")
        assert shown.status_code == 200
        assert ('name="reason"' in shown.get_data(as_text=True)) is not rule.is_fixed
    assert "10 pacientes entre 22:00 e 6:00" in page
    assert admin.get("/access-rules?rule=nothing").status_code == 404


def test_a_rule_is_changed_with_a_reason_kept_as_a_version_and_audited(
    admin: Browser, databases: Databases, cast: Cast, as_shipped: None
) -> None:
    assert change(admin, **NIGHT, reason="plantão mais curto")[0] == 303
    with databases.session(Principal.WORKER) as session:
        [rule] = [each for each in rules_in_force(session) if each.key is RuleKey.AT_NIGHT]
    assert (rule.limits.threshold, rule.limits.from_hour, rule.limits.until_hour, rule.version) == (5, 20, 7, 1)
    [version] = versions(databases, RuleKey.AT_NIGHT)
    assert (version.version, version.changed_by, version.reason) == (1, cast.admin.id, "plantão mais curto")
    event = events_of(databases, "access_rule.update", None)[-1]
    assert (event.actor_id, event.from_version, event.to_version) == (cast.admin.id, 0, 1)
    fields = {each["field"] for each in event.changes or []}
    assert fields == {"at_night.threshold", "at_night.fromHour", "at_night.untilHour"}
    page = admin.get("/access-rules?rule=at_night").get_data(as_text=True)
    assert "plantão mais curto" in page and "5 pacientes entre 20:00 e 7:00" in page
    off = {name: value for name, value in NIGHT.items() if name != "isOn"} | {"version": "1"}
    assert change(admin, **off, reason="sem plantão")[0] == 303
    assert [each.value["isOn"] for each in versions(databases, RuleKey.AT_NIGHT)] == [True, False]


def test_auditors_see_the_rules_and_their_versions_and_change_nothing(
    admin: Browser, browser_of: BrowserOf, databases: Databases, cast: Cast, as_shipped: None
) -> None:
    assert change(admin, **NIGHT, reason="plantão mais curto")[0] == 303
    auditor = browser_of(cast.auditor)
    page = auditor.get("/access-rules").get_data(as_text=True)
    assert "5 pacientes entre 20:00 e 7:00" in page and "Ver<span" in page and "Alterar" not in page
    assert all(f"?rule={key.value}" in page for key in RULES)
    assert 'href="/access-rules"' in auditor.get("/").get_data(as_text=True)
    one = auditor.get("/access-rules?rule=at_night").get_data(as_text=True)
    assert "plantão mais curto" in one and cast.admin.actor.name in one and 'name="reason"' not in one
    assert "Ninguém muda esta regra" in auditor.get("/access-rules?rule=rules_changed").get_data(as_text=True)
    refused = auditor.post("/access-rules", NIGHT | {"version": "1", "reason": "sem plantão"}, form="/")
    assert refused.status_code == 403
    assert len(versions(databases, RuleKey.AT_NIGHT)) == 1


def test_a_rule_that_is_behind_is_said_where_the_rules_are(
    browser_of: BrowserOf, databases: Databases, cast: Cast
) -> None:
    behind = AccessWatchBehind(rule="exports", sequence=0)
    with databases.session(Principal.WORKER) as session:
        session.add(behind)
    try:
        page = browser_of(cast.auditor).get("/access-rules").get_data(as_text=True)
    finally:
        with databases.session(Principal.WORKER) as session:
            session.delete(behind)
    assert page.count("Esta regra falhou e está atrasada") == 1
    assert "está atrasada" not in browser_of(cast.auditor).get("/access-rules").get_data(as_text=True)


def test_two_who_change_a_rule_at_once_do_not_overwrite_each_other(
    admin: Browser, databases: Databases, as_shipped: None
) -> None:
    assert change(admin, **NIGHT, reason="a primeira")[0] == 303
    assert change(admin, **(NIGHT | {"threshold": "9"}), reason="a segunda")[0] == 409
    assert len(versions(databases, RuleKey.AT_NIGHT)) == 1
    again = NIGHT | {"version": "1"}
    assert change(admin, **again, reason="o mesmo de novo")[0] == 303
    assert len(versions(databases, RuleKey.AT_NIGHT)) == 1, "what is the same already is no change"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"threshold": "0"}, "threshold"), ({"threshold": ""}, "threshold"), ({"threshold": "muitos"}, "threshold"),
        ({"fromHour": "24"}, "fromHour"), ({"untilHour": "20"}, "untilHour"), ({"reason": " x "}, "reason"),
        ({"reason": "x" * 501}, "reason"), ({"windowMinutes": "10"}, "windowMinutes"),
    ],
)  # fmt: skip
def test_a_number_that_is_none_of_the_rules_is_refused_and_changes_nothing(
    admin: Browser, databases: Databases, as_shipped: None, fields: dict[str, str], wrong: str
) -> None:
    status, page = change(admin, **(NIGHT | {"reason": "um bom motivo"} | fields))
    assert status == 422 and f'href="#{wrong}"' in page
    assert versions(databases, RuleKey.AT_NIGHT) == []


def test_the_fixed_rule_is_nobodys_to_change(admin: Browser, databases: Databases, as_shipped: None) -> None:
    form = {"rule": "rules_changed", "threshold": "50", "windowMinutes": "60", "reason": "um bom motivo"}
    assert change(admin, **form)[0] in (404, 422)
    assert versions(databases, RuleKey.RULES_CHANGED) == []


def test_looking_is_no_timed_job() -> None:
    """It follows the trail, not the clock: tasks/schedule.py."""
    assert "access.watch" not in {job.task for job in JOBS}
