"""Who gets what from the pages about records."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.web.access_table import READ_LIST, READ_PATIENT, Expected, row

PAGES: dict[tuple[str, str], Expected] = {}
FORMS: dict[tuple[str, str], Callable[[dict[str, uuid.UUID]], dict[str, str]]] = {}
ON_A_PATIENT_OF_THEIR_OWN: set[tuple[str, str]] = set()
ELSEWHERE: set[tuple[str, str]] = set()

# list, record, versions
# Columns:       doc doc2 nur nur2 rec adm aud pat str anon
AUTHORS_ONLY = "{} 403 403 403 403 403 403 403 403 401"
PAGES |= {
    ("GET", "/medical-records"): READ_LIST,
    ("POST", "/medical-records"): READ_LIST,
    ("GET", "/medical-records/<uuid:record_id>"): READ_PATIENT,
    ("GET", "/medical-records/<uuid:record_id>/versions"): READ_PATIENT,
    ("POST", "/medical-records/<uuid:record_id>/print"): READ_PATIENT,
    ("GET", "/medical-records/<uuid:record_id>/close"): row(
        AUTHORS_ONLY.format(200), "404 404 404 404 403 403 403 403 403 401"
    ),
    ("POST", "/medical-records/<uuid:record_id>/close"): row(
        AUTHORS_ONLY.format(303), "404 404 404 404 403 403 403 403 403 401"
    ),
    ("GET", "/medical-records/<uuid:record_id>/inactivate"): row(
        AUTHORS_ONLY.format(200), "404 404 403 403 403 403 403 403 403 401"
    ),
    ("POST", "/medical-records/<uuid:record_id>/inactivate"): row(
        AUTHORS_ONLY.format(303), "404 404 403 403 403 403 403 403 403 401"
    ),
    # it is active: there is nothing to restore, and nothing is offered
    ("GET", "/medical-records/<uuid:record_id>/restore"): row(
        AUTHORS_ONLY.format(403), "404 404 403 403 403 403 403 403 403 401"
    ),
    ("POST", "/medical-records/<uuid:record_id>/restore"): row(
        AUTHORS_ONLY.format(409), "404 404 403 403 403 403 403 403 403 401"
    ),
}
FORMS |= {
    ("POST", "/medical-records"): lambda _: {"q": "consulta"},
    ("POST", "/medical-records/<uuid:record_id>/print"): lambda _: {},
    ("POST", "/medical-records/<uuid:record_id>/close"): lambda _: {},
    ("POST", "/medical-records/<uuid:record_id>/inactivate"): lambda _: {"reason": "registro em duplicidade"},
    ("POST", "/medical-records/<uuid:record_id>/restore"): lambda _: {"reason": "era válido"},
}

# writing
# Columns:              doc doc2 nur nur2 rec adm aud pat str anon
_WRITERS = row("200 200 200 200 403 403 403 403 403 401")
# The cast's record is the doctor's and open; who may edit none learns of none.
_EDITORS = "403 200 403 403 403 403 403 403 401"
PAGES |= {
    ("GET", "/medical-records/new"): _WRITERS,
    # a consultation: doctors anywhere; nurses write triage notes only, and for their own patients
    ("POST", "/medical-records/new"): row(
        "303 303 403 403 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
    ("GET", "/medical-records/new/patient"): _WRITERS,
    ("POST", "/medical-records/new/patient"): _WRITERS,
    ("POST", "/medical-records/new/chosen"): row(
        "200 200 200 403 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
    ("POST", "/medical-records/check"): _WRITERS,
    ("GET", "/medical-records/<uuid:record_id>/edit"): row(
        f"200 {_EDITORS}", "404 404 404 404 403 403 403 403 403 401"
    ),
    # the form sends notes: a nurse changes the priority of others' records only
    ("POST", "/medical-records/<uuid:record_id>/edit"): row(
        "303 403 403 403 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
    # nobody else saved anything: what is sent here without a conflict is the edit itself
    ("POST", "/medical-records/<uuid:record_id>/merge"): row(
        "303 403 303 403 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
    ("GET", "/cid10/search"): _WRITERS,
    ("POST", "/cid10/search"): _WRITERS,
    ("GET", "/drafts"): _WRITERS,
    ("POST", "/drafts"): row("200 200 200 200 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"),
}
FORMS |= {
    ("POST", "/medical-records/new"): lambda ids: {"patientId": str(ids["patient_id"]), "title": "Consulta"},
    ("POST", "/medical-records/new/patient"): lambda _: {"q": "zeca"},
    ("POST", "/medical-records/new/chosen"): lambda ids: {"patientId": str(ids["patient_id"])},
    ("POST", "/cid10/search"): lambda _: {"q": "gripe"},
    ("POST", "/medical-records/check"): lambda _: {"_field": "title", "title": "Consulta"},
    ("POST", "/medical-records/<uuid:record_id>/edit"): lambda _: {"version": "1", "notes": "n"},
    ("POST", "/medical-records/<uuid:record_id>/merge"): lambda _: {"version": "1", "theirs": "1", "priority": "HIGH"},
    ("POST", "/drafts"): lambda ids: {"patientId": str(ids["patient_id"]), "title": "Consulta"},
}
# A draft is its writer's alone: everybody else's ways to it are in tests/web/writing/test_drafts_pages.py.
ELSEWHERE |= {("GET", "/drafts/<uuid:draft_id>"), ("POST", "/drafts/<uuid:draft_id>/discard")}
