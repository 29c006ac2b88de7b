"""Who gets what from the pages about trail."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.web.access_table import Expected, row

GLASS = "/patients/<uuid:patient_id>/break-glass"
GRANT = "/emergency-accesses/<uuid:grant_id>"
ALERT = "/access-alerts/<uuid:alert_id>"
AUDITORS = row("403 403 403 403 403 403 200 403 403 401")
NOTHING_TO_NOTE = row("403 403 403 403 403 403 404 403 403 401")
STAFF = row("200 200 200 200 200 200 200 403 403 401")

# Columns:        doc doc2 nur nur2 rec adm aud pat str anon
PAGES: dict[tuple[str, str], Expected] = {
    ("GET", GLASS): row("200 200 200 200 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"),
    # inside already: there is no glass to break
    ("POST", GLASS): row("409 303 409 303 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"),
    ("GET", "/emergency-accesses"): row("200 200 200 200 403 200 200 403 403 401"),
    # doctor2's own access, over, to a patient whose team doctor and nurse are
    ("GET", GRANT): row("200 404 200 404 403 200 200 403 403 401", "404 404 404 404 403 404 404 403 403 401"),
    ("POST", f"{GRANT}/end"): row("404 303 404 404 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"),
    ("POST", f"{GRANT}/review"): row(
        "303 404 403 403 403 403 303 403 403 401", "404 404 403 403 403 403 404 403 403 401"
    ),
    ("GET", "/notifications"): STAFF,
    ("GET", "/notifications/bell"): STAFF,
    ("POST", "/notifications/read"): row("303 303 303 303 303 303 303 403 403 401"),
    # told to the doctor
    ("POST", "/notifications/<uuid:notification_id>/read"): row(
        "303 404 404 404 404 404 404 403 403 401", "404 404 404 404 404 404 404 403 403 401"
    ),
    ("GET", "/audit"): row("200 200 200 200 403 403 200 403 403 401"),
    ("POST", "/audit/people"): row("200 200 200 200 403 403 200 403 403 401"),
    ("POST", "/audit/export"): row("403 403 403 403 403 403 303 403 403 401"),
    # what the rules found is the auditor's to read and review; it is about doctor2
    ("GET", "/access-alerts"): AUDITORS,
    ("GET", ALERT): row("403 403 403 403 403 403 200 403 403 401", "403 403 403 403 403 403 404 403 403 401"),
    ("POST", f"{ALERT}/review"): row(
        "403 403 403 403 403 403 303 403 403 401", "403 403 403 403 403 403 404 403 403 401"
    ),
    # the trail of the scene is intact: there is nothing to take note of
    ("GET", "/audit/alarm"): NOTHING_TO_NOTE,
    ("POST", "/audit/alarm"): NOTHING_TO_NOTE,
    ("GET", "/me/access-receipt"): row("403 403 403 403 403 403 403 200 200 401"),
    ("GET", "/me"): row("200 200 200 200 200 200 200 200 200 401"),
}
FORMS: dict[tuple[str, str], Callable[[dict[str, uuid.UUID]], dict[str, str]]] = {
    ("POST", GLASS): lambda ids: {"reason": "Emergência no pronto-socorro", "preset": "", "next": "/"},
    ("POST", f"{GRANT}/end"): lambda ids: {"next": "/"},
    ("POST", f"{GRANT}/review"): lambda ids: {"verdict": "JUSTIFIED", "note": ""},
    ("POST", "/notifications/read"): lambda ids: {},
    ("POST", "/notifications/<uuid:notification_id>/read"): lambda ids: {},
    # as many as the scene's alert counts
    ("POST", f"{ALERT}/review"): lambda ids: {"verdict": "FALSE_ALARM", "note": "", "count": "43"},
    ("POST", "/audit/alarm"): lambda ids: {"note": "Um teste"},
    ("POST", "/audit/people"): lambda ids: {"q": "ana"},
    ("POST", "/audit/export"): lambda ids: {"format": "csv", "entityId": str(ids["patient_id"])},
}
ON_A_PATIENT_OF_THEIR_OWN: set[tuple[str, str]] = {("POST", GLASS)}
# They end sessions that other lines of the matrix need: test_me_pages.py.
ELSEWHERE: set[tuple[str, str]] = {
    ("POST", "/me/sessions/<uuid:session_id>/end"),
    ("POST", "/me/sessions/end-others"),
}
