"""What pages answer to whom: the same lines as in ``access_table``, for people at a browser.

``PAGES``: (method, rule) → expected statuses with sessions; ``FORMS``: the form that is fine in itself, given the
ids of the scene. A redirect (303) is what an act that worked answers. Public pages have no line.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.web import (
    access_administration,
    access_ai,
    access_patients,
    access_records,
    access_trail,
    access_visits,
)
from tests.web.access_table import Expected, row

Ids = dict[str, uuid.UUID]
FormOf = Callable[[Ids], dict[str, str]]

GROUPS = (access_visits, access_records, access_patients, access_trail, access_administration, access_ai)
EVERYBODY = row("200 200 200 200 200 200 200 200 200 401")

PAGES: dict[tuple[str, str], Expected] = {
    ("GET", "/live"): EVERYBODY,
    ("GET", "/live/form-token"): EVERYBODY,
    ("GET", "/live/stay"): row("204 204 204 204 204 204 204 204 204 401"),
    ("GET", "/password"): EVERYBODY,
}
FORMS: dict[tuple[str, str], FormOf] = {}
# Changed by one case for the next: these get a patient of their own, as in the matrix of the API.
ON_A_PATIENT_OF_THEIR_OWN: set[tuple[str, str]] = set()
# Tried with sessions in tests of their own.
ELSEWHERE: set[tuple[str, str]] = {("POST", "/logout"), ("POST", "/password")}

for _group in GROUPS:
    PAGES |= _group.PAGES
    FORMS |= _group.FORMS
    ON_A_PATIENT_OF_THEIR_OWN |= _group.ON_A_PATIENT_OF_THEIR_OWN
    ELSEWHERE |= _group.ELSEWHERE
