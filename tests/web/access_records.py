"""Who gets what from the pages of this area: records."""

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
