"""Who gets which answer from the pages about the local model; see access_pages."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.web.access_table import Expected, row

SUMMARY = "/patients/<uuid:patient_id>/summary"
REFUSAL = "/patients/<uuid:patient_id>/ai-refusal"
QUESTION = "/ai/questions/<uuid:question_id>"
PRIORITY = "/visits/<uuid:visit_id>/triage/priority"

# Columns:   doc doc2 nur nur2 rec adm aud pat str anon
NOBODY_ELSES = "404 404 404 404 403 403 403 403 403 401"
# staff who meet patients, and a patient about their own record
NOTES_REFUSAL = row("303 303 303 303 303 403 403 303 404 401", "404 404 404 404 404 403 403 404 404 401")

PAGES: dict[tuple[str, str], Expected] = {
    ("GET", SUMMARY): row("200 200 200 200 403 403 403 403 403 401", NOBODY_ELSES),
    # outside the care team there is nothing but captions to sum up
    ("POST", SUMMARY): row("303 403 303 403 403 403 403 403 403 401", NOBODY_ELSES),
    # the scene's question is the doctor's, and answered
    ("POST", f"{QUESTION}/cancel"): row("303 404 404 404 403 403 403 403 403 401", NOBODY_ELSES),
    ("POST", f"{QUESTION}/reject"): row("303 404 404 404 403 403 403 403 403 401", NOBODY_ELSES),
    ("POST", f"{QUESTION}/accept"): row("303 404 404 404 403 403 403 403 403 401", NOBODY_ELSES),
    # leads to the patient, whose page has the summary; a part of a form comes to scripts alone
    ("GET", QUESTION): row("303 404 404 404 403 403 403 403 403 401", NOBODY_ELSES),
    # the form shown again with nothing of it lost; nurses write for their team's patients
    ("POST", "/ai/codes"): row("200 200 200 403 403 403 403 403 403 401", NOBODY_ELSES),
    ("POST", PRIORITY): row("200 200 200 403 403 403 403 403 403 401", NOBODY_ELSES),
    ("POST", REFUSAL): NOTES_REFUSAL,
    ("POST", f"{REFUSAL}/end"): NOTES_REFUSAL,
    ("GET", "/ai"): row("403 403 403 403 403 200 200 403 403 401"),
}
FORMS: dict[tuple[str, str], Callable[[dict[str, uuid.UUID]], dict[str, str]]] = {
    ("POST", SUMMARY): lambda _: {},
    ("POST", f"{QUESTION}/cancel"): lambda _: {},
    ("POST", f"{QUESTION}/reject"): lambda _: {},
    ("POST", f"{QUESTION}/accept"): lambda _: {"text": "Resumo revisto"},
    ("POST", "/ai/codes"): lambda ids: {"patientId": str(ids["patient_id"]), "diagnosis": "Cefaleia"},
    ("POST", PRIORITY): lambda _: {"priority": "HIGH", "heartRate": "88", "act": "ask"},
    ("POST", REFUSAL): lambda _: {},
    ("POST", f"{REFUSAL}/end"): lambda _: {},
}
# of which nobody outside the team wrote anything
ON_A_PATIENT_OF_THEIR_OWN: set[tuple[str, str]] = {("POST", SUMMARY)}
ELSEWHERE: set[tuple[str, str]] = set()
