"""What nurses and doctors do at their browsers, one thing at a time."""

from __future__ import annotations

import re
import uuid

from load.browser import Browser
from load.page_forms import form_values
from load.people import Person
from load.room import Room

TRIAGE = re.compile(r'href="/visits/([0-9a-f-]{36})/triage"')
CALL = re.compile(r'action="/visits/([0-9a-f-]{36})/call"')
WAITING = re.compile(r'<li id="visit-([0-9a-f-]{36})".*?href="/patients/([0-9a-f-]{36})"', re.DOTALL)
RECORD = re.compile(r'href="/medical-records/([0-9a-f-]{36})(?:\?[^"]*)?"')
RECORDS = "/medical-records"
LIST, READ = "medical_record.list", "medical_record.read"
SAVED = re.compile(r"^/medical-records/([0-9a-f-]{36})")
WORDS = ("hipertensao", "diabetes", "retorno", "dor", "consulta", "febre")
SIGNS = {
    "systolic": "128", "diastolic": "82", "heartRate": "76", "temperature": "36,6", "oxygenSaturation": "97",
    "notes": "Refere cefaleia há dois dias.", "priority": "NORMAL", "helpedBy": "",
}  # fmt: skip
GLASS_BROKEN = 0.05  # of what a doctor outside the team opens
REASON = "Paciente trazida desacordada, sem acompanhante"


async def nurse(browser: Browser, room: Room, person: Person) -> None:
    """See who waits, and triage somebody; or read."""
    start = await browser.page("start", "/", act="visit.list")
    await room.think()
    visit = room.take(list(dict.fromkeys(TRIAGE.findall(start))))
    if visit is None:
        await read_about_patient(browser, room, person)
        return
    try:
        await browser.page("triage: form", f"/visits/{visit}/triage", act="visit.read")
        await room.think()
        saved = await browser.send("triage: save", f"/visits/{visit}/triage", SIGNS, act="medical_record.create")
        await browser.page("start", saved.headers["HX-Redirect"], act="visit.list")
    finally:
        room.give_back(visit)


async def doctor(browser: Browser, room: Room, person: Person) -> None:
    """See somebody of one's own who waits; else read, search, or write of somebody who is not here."""
    start = await browser.page("start", "/", act="visit.list")
    await room.think()
    callable_ = set(CALL.findall(start))
    own = [visit for visit, patient in WAITING.findall(start) if visit in callable_ and patient in person.patients]
    visit = room.take(own)
    if visit is not None:
        await see(browser, room, visit)
        return
    what = room.chance.random()
    if what < 0.3:
        await read_about_patient(browser, room, person)
    elif what < 0.55:
        await read_list(browser, room)
    elif what < 0.75:
        await search(browser, room)
    elif what < 0.95:
        await write(browser, room, room.chance.choice(person.patients))
    else:
        await browser.page("trail of one's own", "/audit", act="audit.read")


async def see(browser: Browser, room: Room, visit: str) -> None:
    """Call somebody in, write the record that opens with it, and end the visit. Nobody else takes it any more."""
    called = await browser.send("call a patient in", f"/visits/{visit}/call", {}, into="div#problems", act="visit.call")
    path = called.headers["HX-Redirect"]
    form = form_values(await browser.page("record: edit form", path, act=READ), "record-form")
    form |= {"diagnosis": "Cefaleia tensional", "treatment": "Dipirona 500 mg", "notes": "Sem sinais de alarme."}
    await _write_down(browser, room, form, path.partition("?")[0], "medical_record.update")
    ending = {"status": "DONE"}
    await browser.send("end a visit", f"/visits/{visit}/close", ending, into="div#problems", act="visit.close")
    await browser.page("start", "/", act="visit.list")


async def write(browser: Browser, room: Room, patient: str) -> None:
    """A record of somebody who is not in the room."""
    page = await browser.page("record: new form", f"{RECORDS}/new?patientId={patient}", act="patient.read")
    form = form_values(page, "record-form")
    form |= {
        "patientId": patient, "title": f"Retorno {uuid.uuid4().hex[:6]}", "diagnosis": "Hipertensão essencial",
        "treatment": "Losartana 50 mg", "cid10Codes": "I10",
    }  # fmt: skip
    await room.think()
    checked = {**form, "_field": "title"}
    await browser.send("record: check a field", f"{RECORDS}/check", checked, status=200, into="span#title-error")
    await _write_down(browser, room, form, f"{RECORDS}/new", "medical_record.create")


async def _write_down(browser: Browser, room: Room, form: dict[str, str], path: str, act: str) -> None:
    """Kept as a draft while it is typed, then saved, then looked at."""
    draft = await browser.send("record: draft", "/drafts", form, status=200, says="data-draft-id")
    revision = re.search(r'data-revision="(\d+)"', draft.text)
    form["draftRevision"] = revision[1] if revision else form["draftRevision"]
    await room.think()
    saved = await browser.send("record: save", path, form, act=act, into="div#record-area")
    shown = SAVED.match(saved.headers["HX-Redirect"])
    assert shown is not None
    await browser.page("record", saved.headers["HX-Redirect"], act=READ, says=form["diagnosis"])
    await room.think()


async def read_about_patient(browser: Browser, room: Room, person: Person) -> None:
    """Somebody of one's own, and a record of theirs."""
    patient = room.chance.choice(person.patients)
    first = room.names[patient].split()[0]
    page = await browser.page("patient", f"/patients/{patient}", act="patient.read", says=first)
    await room.think()
    await _read_one(browser, room, page)


async def read_list(browser: Browser, room: Room) -> None:
    """The newest records of the clinic, and one of them."""
    page = await browser.page("records", RECORDS, act=LIST)
    await room.think()
    record = await _read_one(browser, room, page)
    if record is not None:
        await browser.page("record: versions", f"{RECORDS}/{record}/versions", act="medical_record.read_versions")


async def search(browser: Browser, room: Room) -> None:
    await browser.page("records", RECORDS, act=LIST)
    word = {"q": room.chance.choice(WORDS)}
    await browser.send(
        "records: search", RECORDS, word, act="medical_record.search", status=200, into="section#records",
        says='id="records"',
    )  # fmt: skip


async def _read_one(browser: Browser, room: Room, page: str) -> str | None:
    """One of the records that the page leads to; its id."""
    found = list(dict.fromkeys(RECORD.findall(page)))
    if not found:
        return None
    record: str = room.chance.choice(found)
    await browser.page("record", f"{RECORDS}/{record}", act=READ)
    await room.think()
    return record


async def outsider(browser: Browser, room: Room, person: Person) -> None:
    """A doctor in nobody's care team reads through the mask; now and then an emergency opens it."""
    page = await browser.page("records", RECORDS, act=LIST)
    await room.think()
    found = list(dict.fromkeys(RECORD.findall(page)))
    if not found:
        return
    record = room.chance.choice(found)
    shown = await browser.page("record: masked", f"{RECORDS}/{record}", act=READ)
    patient = re.search(r'action="/patients/([0-9a-f-]{36})/break-glass"', shown)
    if patient is not None and room.chance.random() < GLASS_BROKEN:
        path, back = f"/patients/{patient[1]}/break-glass", f"{RECORDS}/{record}"
        form = {"reason": REASON, "next": back}
        opened = await browser.send("break the glass", path, form, act="patient.break_glass")
        await browser.page("record", opened.headers["HX-Redirect"], act=READ)
