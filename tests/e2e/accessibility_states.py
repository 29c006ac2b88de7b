"""States of pages that a person brings about: open dialogs, refused forms, results, warnings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page, expect

from tests.e2e.accessibility_pages import PATIENT, RECORD, USER
from tests.e2e.accessibility_scene import Scene
from tests.web.conftest import PASSWORD

Reach = Callable[[Page, Scene], None]
NEW = "/medical-records/new"
SENDS = "form => { form.noValidate = true; form.requestSubmit() }"  # as a browser does that checks nothing itself
UNHIDE = "all => all.forEach((each) => { each.hidden = false })"


@dataclass(frozen=True)
class State:
    """Reached by ``who`` from ``path``; ``reach`` returns when it is there to be seen, ``within`` that selector."""

    who: str
    path: str
    reach: Reach
    within: str = "main"


STATES: dict[str, State] = {}


def state(who: str, path: str, within: str = "main") -> Callable[[Reach], Reach]:
    """The state that a function reaches, under its name."""

    def keep(reach: Reach) -> Reach:
        STATES[reach.__name__] = State(who, path, reach, within)
        return reach

    return keep


def opened(link: str) -> tuple[Reach, str]:
    """A dialog, open."""

    def reach(page: Page, scene: Scene) -> None:
        page.locator(f"[data-opens='{link}']").first.click()
        expect(page.get_by_role("dialog")).to_be_visible()

    return reach, "dialog[open]"


def refused(form: str, shows: str = "#form-errors", **fields: str) -> tuple[Reach, str]:
    """``form`` (a selector), sent with ``fields`` alone filled in; what is wrong ``shows``."""

    def reach(page: Page, scene: Scene) -> None:
        sent = page.locator(form).first
        for name, text in fields.items():
            sent.locator(f"[name='{name}']").first.fill(text)
        sent.evaluate(SENDS)
        expect(page.locator(shows).first).to_be_visible()

    return reach, f":is({form}, {shows})"


def found(words: str, into: str, shows: str) -> tuple[Reach, str]:
    """A search for ``words``, which may name objects of the scene; what comes of it ``shows`` in ``into``."""

    def reach(page: Page, scene: Scene) -> None:
        search = page.locator("main [name=q]").first
        search.fill(scene.path(words))
        search.press("Enter")
        expect(page.locator(f"{into} {shows}").first).to_be_visible()

    return reach, into


def more_places(page: Page, scene: Scene) -> None:
    page.evaluate("more.showModal()")


for _name, _who, _path, (_reach, _within) in (
    ("more places on a phone", "admin", "/system", (more_places, "dialog[open]")),
    ("closing asked", "doctor", RECORD, opened("close")),
    ("inactivating asked", "doctor", RECORD, opened("inactivate")),
    ("inactivating a patient asked", "doctor", PATIENT, opened("inactivate")),
    ("a reason of one's own asked", "doctor2", RECORD, opened("own-reason")),
    ("cancelling an import asked", "admin", "/imports/{running_job}", opened("cancel-import")),
    ("break-glass refused", "doctor2", f"{PATIENT}/break-glass", refused("main .card form", reason="pressa")),
    ("allergy refused", "nurse", PATIENT, refused("#allergies form")),
    ("patient refused", "reception", "/patients/new", refused("#patient-form", cpf="1", birthDate="1700-01-01")),
    ("correction refused", "doctor", f"{PATIENT}/edit", refused("main form.card", fullName="", cns="123")),
    ("record refused", "doctor", NEW, refused("#record-form", title="", cid10Codes="gripe")),
    ("correction without a reason", "doctor", "/medical-records/{closed}/edit", refused("#record-form", notes="outra")),
    ("check-in refused", "reception", "/visits/new/{patient}", refused("main form.card")),
    ("triage refused", "nurse", "/visits/{triaged}/triage", refused("main form.card", systolic="900", pain="11")),
    ("nobody takes over", "reception", f"{PATIENT}/care-team", refused("form:has(#takes-over)", "#takes-over-error")),
    ("review refused", "auditor", "/emergency-accesses/{grant}", refused("main form")),
    ("invitation refused", "admin", "/users/new", refused("main form.card", email="x", cpf="1")),
    ("role refused", "admin", f"{USER}/roles", refused("form:has(#role)")),
    ("request declined without a reason", "admin", "/users/requests/{request}", refused("form[action$=decline]")),
    ("token refused", "admin", f"{USER}/tokens/new", refused("main form.card", days="0", quota="muitas")),
    ("user kept", "admin", USER, refused("#act-disable form", "#disable-reason-error")),
    ("quota refused", "admin", "/rate-limits/users/{user}", refused("main form.card", requests="0")),
    ("import without a file", "admin", "/imports", refused("main form")),
    ("passwords differ", "doctor", "/password", refused("main form", ".error", newPassword="a", repeatedPassword="b")),
    ("link's passwords differ", "nobody", "/invitations/{link}", refused("main form", ".error", newPassword="a")),
    ("wrong password", "nobody", "/login", refused("main form", "main .alert.warn", email="a@b.org", password="b")),
    ("wrong password again", "doctor", "/step-up", refused("main form", "main .alert.warn", password="b")),
    ("patients found", "doctor", "/patients", found("maria aparecida {word}", "#patients-found", ".people")),
    ("no patient found", "doctor", "/patients", found("zyxwv", "#patients-found", ".empty")),
    ("number refused", "doctor", "/patients", found("111.111.111-11", "#patients-found", ".alert")),
    ("arrivals found", "reception", "/visits/new", found("maria aparecida {word}", "#found", ".work")),
    ("no arrival found", "reception", "/visits/new", found("zyxwv", "#found", ".empty")),
    ("records found", "doctor", "/medical-records?patientId={patient}", found("hipertensão", "#records", ".what")),
    ("no record found", "doctor", "/medical-records", found("zyxwv", "#records", ".empty")),
    ("staff found", "reception", f"{PATIENT}/care-team", found("reis", "#staff-found", "[type=radio]")),
    ("users found", "admin", "/users", found("helena", "#found", "li")),
    ("no user found", "admin", "/users", found("zyxwv", "#found", ".empty")),
    ("codes as a page", "doctor", "/cid10/search", found("não especificada", "main", ".codes-found")),
    ("no code as a page", "doctor", "/cid10/search", found("zyxwv", "main", ".empty")),
    ("patients to write about", "doctor", f"{NEW}/patient", found("maria aparecida {word}", "main", "li")),
):  # fmt: skip
    STATES[_name] = State(_who, _path, _reach, _within)


@state("doctor", NEW, "#patient-options")
def combobox_open(page: Page, scene: Scene) -> None:
    search = page.get_by_role("combobox").and_(page.locator("#patient-search"))
    search.press_sequentially(f"maria aparecida {scene.word}")
    expect(page.get_by_role("option").and_(page.locator("li")).first).to_be_visible()
    search.press("ArrowDown")
    expect(page.locator("[role=option][aria-selected=true]")).to_be_visible()


@state("doctor", f"{NEW}?patientId={{patient}}", "#record-form .combobox, #cid10Codes-notes")
def codes_found_and_odd(page: Page, scene: Scene) -> None:
    page.locator("#cid10Codes").fill("N40")  # for men
    search = page.locator("#cid10-search")
    search.press_sequentially("infec")
    expect(page.locator("#cid10-options [role=option]").first).to_be_visible()
    search.press("ArrowDown")
    expect(page.locator("#cid10-options [aria-selected=true]")).to_be_visible()
    expect(page.locator("#cid10Codes-notes .caution").first).to_be_visible()


@state("doctor", f"{NEW}?patientId={{patient}}", "#draft-state")
def everything_said_of_a_draft(page: Page, scene: Scene) -> None:
    page.locator("#draft-state [data-says]").evaluate_all(UNHIDE)


@state("doctor", "/", ".states")
def everything_said_of_a_session(page: Page, scene: Scene) -> None:
    page.locator(".states > *").evaluate_all(UNHIDE)
    page.locator("#session-ending [data-countdown]").evaluate_all("all => { all[0].textContent = '1:59' }")


@state("doctor", f"{RECORD}?done=record-saved", "#toasts")
def toast(page: Page, scene: Scene) -> None:
    expect(page.locator(".toast")).to_be_visible()


@state("doctor", RECORD)
def print_view(page: Page, scene: Scene) -> None:
    page.locator("form[action$=print] button").click()
    expect(page.locator(".paper")).to_be_visible()


@state("doctor", f"{RECORD}/edit")
def two_edits_of_a_record(page: Page, scene: Scene) -> None:
    page.locator("[name=treatment]").fill("Losartana 150 mg.")
    page.locator("[name=notes]").fill("Nega cefaleia e tontura.")
    scene.edit_record(treatment="Anlodipino 5 mg.", priority="HIGH", title="Retorno e renovação")
    page.locator("#record-form").evaluate(SENDS)
    expect(page.locator(".merge")).to_be_visible()


@state("doctor", f"{PATIENT}/edit")
def two_corrections_of_a_patient(page: Page, scene: Scene) -> None:
    page.locator("[name=phone]").fill("11 5555-0002")
    page.locator("[name=address]").fill("Rua Augusta, 100")
    scene.edit_patient(phone="11 5555-0003", address="Avenida Paulista, 1000, apartamento 101")
    page.locator("main form.card").evaluate(SENDS)
    expect(page.locator(".merge")).to_be_visible()


@state("reception", "/patients/new")
def homonyms(page: Page, scene: Scene) -> None:
    page.locator("[name=fullName]").fill(f"otávio da espera {scene.word}")
    page.locator("[name=sex]").select_option("MALE")
    page.locator("#patient-form").evaluate(SENDS)
    expect(page.locator("#homonyms")).to_be_visible()


@state("doctor", "/", "#problems")
def somebody_was_quicker(page: Page, scene: Scene) -> None:
    call = page.locator(f"#visit-{scene.ids['visit']} form[action$=call] button")
    expect(call).to_be_visible()
    with page.expect_response(re.compile("/call$")):
        page.route("**/live", lambda route: route.fulfill(json={"token": "same"}))  # it has not heard of it yet
        scene.close_visit()
        call.click()
    expect(page.locator("#problems [role=alert]")).to_be_visible()
    page.unroute("**/live")


@state("admin", USER)
def token_shown_once(page: Page, scene: Scene) -> None:
    page.locator("a[href$='tokens/new']").click()
    page.locator("[name=name]").fill("laboratório")
    page.locator("[name=scopes]").first.check()
    page.locator("main form.card").evaluate(SENDS)
    expect(page.locator("#token")).to_be_visible()


@state("auditor", "/audit?patientId={patient}", "details[open]")
def event_opened(page: Page, scene: Scene) -> None:
    page.locator("details.event:has(table) summary").first.click()
    expect(page.locator("details[open] .facts-grid")).to_be_visible()


@state("auditor", "/audit", "#people")
def person_looked_for(page: Page, scene: Scene) -> None:
    page.locator("details:has(#people) summary").click()
    found("reis", "#people", "a")[0](page, scene)


@state("nobody", "/login")
def role_to_choose(page: Page, scene: Scene) -> None:
    page.locator("[name=email]").fill(scene.login)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main form").evaluate(SENDS)
    expect(page.locator("[name=role]").first).to_be_visible()


@state("nobody", "/api/docs", "details[open]")
def operation_opened(page: Page, scene: Scene) -> None:
    page.locator(".operation summary").first.click()
    expect(page.locator(".operation[open]").first).to_be_visible()
