"""Who gets what from the pages about visits."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.web.access_table import Expected, row

PATIENT, VISIT = "/visits/new/<uuid:patient_id>", "/visits/<uuid:visit_id>"

# Columns:  doc doc2 nur nur2 rec adm aud pat str anon
DESK = row("200 200 200 200 200 403 403 403 403 401")

PAGES: dict[tuple[str, str], Expected] = {
    ("GET", "/"): row("200 200 200 200 200 200 200 303 303 401"),
    ("GET", "/visits/new"): DESK,
    ("POST", "/visits/new"): DESK,
    ("GET", PATIENT): row("200 200 200 403 200 403 403 403 403 401", "404 404 404 404 404 403 403 403 403 401"),
    ("POST", PATIENT): row("303 303 303 403 303 403 403 403 403 401", "404 404 404 404 404 403 403 403 403 401"),
    ("POST", f"{VISIT}/call"): row(
        "303 303 403 403 403 403 403 403 403 401", "404 404 403 403 403 403 403 403 403 401"
    ),
    ("POST", f"{VISIT}/close"): row(
        "303 303 303 403 303 403 403 403 403 401", "404 404 404 404 404 403 403 403 403 401"
    ),
    # the note is written by the care team's nurses; doctors write any record
    ("GET", f"{VISIT}/triage"): row(
        "200 200 200 403 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
    ("POST", f"{VISIT}/triage"): row(
        "303 303 303 403 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
}
FORMS: dict[tuple[str, str], Callable[[dict[str, uuid.UUID]], dict[str, str]]] = {
    ("POST", "/visits/new"): lambda _: {"q": "zeca"},
    ("POST", PATIENT): lambda _: {"reason": "Febre", "priority": "NORMAL"},
    ("POST", f"{VISIT}/call"): lambda _: {},
    ("POST", f"{VISIT}/close"): lambda _: {"status": "DONE"},
    ("POST", f"{VISIT}/triage"): lambda _: {"priority": "HIGH", "heartRate": "88"},
}
ON_A_PATIENT_OF_THEIR_OWN: set[tuple[str, str]] = {("POST", PATIENT)}
ELSEWHERE: set[tuple[str, str]] = set()
