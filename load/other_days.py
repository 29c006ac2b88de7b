"""What reception, auditors, administrators and patients do at their browsers, and what an integrator's program asks."""

from __future__ import annotations

import uuid

from load.browser import Browser, Caller
from load.people import Person
from load.room import Room

ADMIN = ("/system", "/users", "/rate-limits", "/imports", "/backups")
ACTIONS = ("medical_record.read", "session.login", "patient.break_glass", "medical_record.update")
API = "/api/medical-records"


async def reception(browser: Browser, room: Room, person: Person) -> None:
    """Check somebody in whom a doctor expects, or look somebody up."""
    await browser.page("start", "/", act="visit.list")
    await room.think()
    arriving = room.somebody_new() if room.chance.random() < 0.6 else None
    if arriving is None:
        patient = room.chance.choice(list(room.names))
        await browser.page("patients", "/patients", act="patient.list")
        await _find(browser, room, patient, "patients: search", "/patients", "div#patients-found")
        await browser.page("patient", f"/patients/{patient}", act="patient.read")
        return
    patient, doctor = arriving
    await browser.page("check in: search form", "/visits/new")
    await _find(browser, room, patient, "check in: search", "/visits/new", "div#found")
    await browser.page("check in: form", f"/visits/new/{patient}", act="patient.read")
    await room.think()
    form = {
        "reason": "Dor de cabeça", "priority": room.chance.choice(("HIGH", "NORMAL", "NORMAL", "LOW")),
        "doctorId": doctor.user_id, "nurseId": room.chance.choice(room.of_role("nurse")).user_id,
    }  # fmt: skip
    done = await browser.send("check in: save", f"/visits/new/{patient}", form, act="visit.create")
    await browser.page("start", done.headers["HX-Redirect"], act="visit.list")


async def _find(browser: Browser, room: Room, patient: str, kind: str, path: str, into: str) -> None:
    found = {"q": room.names[patient]}
    await browser.send(kind, path, found, act="patient.search", status=200, into=into, says=patient)
    await room.think()


async def auditor(browser: Browser, room: Room, person: Person) -> None:
    await browser.page("start: auditor", "/", act="audit.read")
    await room.think()
    await browser.page("trail", "/audit", act="audit.read")
    await room.think()
    await browser.page("trail: one action", f"/audit?action={room.chance.choice(ACTIONS)}", act="audit.read")
    await room.think()
    await browser.page("emergency accesses", "/emergency-accesses", act="break_glass.list")


async def admin(browser: Browser, room: Room, person: Person) -> None:
    await browser.page("start: admin", "/")
    await room.think()
    page = room.chance.choice(ADMIN)
    await browser.page(f"admin: {page}", page)


async def patient(browser: Browser, room: Room, person: Person) -> None:
    """One's own record, who saw it, and now and then the receipt of that."""
    own = person.patients[0]
    await browser.page("own record", "/me", act="access_log.read", says=room.names[own].split()[0])
    await room.think()
    if room.chance.random() < 0.2:
        signed = "sigilo-access-receipt"
        await browser.ask("receipt", "GET", "/me/access-receipt", act="access_log.receipt", says=signed)


async def integrator(caller: Caller, room: Room, person: Person) -> None:
    """A program: it lists, reads, reads again what did not change, searches, writes once and corrects that."""
    listed = await caller.ask("api: list", "GET", f"{API}?limit=20", act="medical_record.list")
    first = listed.json()["data"][0]["id"]
    read = await caller.ask("api: read", "GET", f"{API}/{first}", act="medical_record.read", says=first)
    tag = {"If-None-Match": read.headers["ETag"]}
    await caller.ask("api: unchanged", "GET", f"{API}/{first}", headers=tag, act="medical_record.read", status=304)
    await room.think()
    words = {"q": "hipertensao", "limit": 20}
    await caller.ask("api: search", "POST", f"{API}/search", json=words, act="medical_record.search")
    await caller.ask("api: patients", "GET", "/api/patients?limit=20", act="patient.list")
    await room.think()
    if room.chance.random() < 0.5:
        about = room.chance.choice(person.patients)
        body = {"patientId": about, "title": "Exame", "notes": "Hemograma sem alterações."}
        once = {"Idempotency-Key": uuid.uuid4().hex}
        made = await caller.ask(
            "api: write", "POST", API, json=body, headers=once, act="medical_record.create", status=201
        )
        tag = {"If-Match": made.headers["ETag"]}
        change = {"notes": "Hemograma e glicemia sem alterações."}
        path = made.headers["Location"]
        await caller.ask("api: correct", "PUT", path, json=change, headers=tag, act="medical_record.update")
