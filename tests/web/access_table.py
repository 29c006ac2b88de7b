"""Who gets which answer from which route: PRODUCT's two tables, route by route.

Each line has one status per actor, in the order of ``ACTORS``; ``known`` is about an object of the cast's own
patient (whose care team is doctor and nurse, and who is ``patient``), ``unknown`` about an id that nothing has.
For ``stranger`` the known object is somebody else's, so it is 404 to them, never 403.
"""

from __future__ import annotations

from dataclasses import dataclass

ACTORS = (
    "doctor", "doctor2", "nurse", "nurse2", "reception", "admin", "auditor", "patient", "stranger", "anonymous",
)  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """Statuses by actor. ``unknown`` is None for routes about no object."""

    known: dict[str, int]
    unknown: dict[str, int] | None


def row(known: str, unknown: str | None = None) -> Expected:
    def statuses(text: str) -> dict[str, int]:
        return dict(zip(ACTORS, map(int, text.split()), strict=True))

    return Expected(statuses(known), None if unknown is None else statuses(unknown))


# Columns:        doc doc2 nur nur2 rec adm aud pat str anon
READ_PATIENT = row("200 200 200 200 200 200 403 200 404 401", "404 404 404 404 404 404 403 404 404 401")
READ_LIST = row("200 200 200 200 200 200 403 200 200 401")

TABLE: dict[tuple[str, str], Expected] = {
    # records
    ("GET", "/api/medical-records"): READ_LIST,
    ("POST", "/api/medical-records/search"): READ_LIST,
    # a consultation: doctors anywhere; nurses write triage notes only
    ("POST", "/api/medical-records"): row(
        "201 201 403 403 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
    ("GET", "/api/medical-records/<uuid:record_id>"): READ_PATIENT,
    # the cast's record is the doctor's and open: others on the team edit it, nurses its priority only
    ("PUT", "/api/medical-records/<uuid:record_id>"): row(
        "200 403 403 403 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
    ("DELETE", "/api/medical-records/<uuid:record_id>"): row(
        "204 403 403 403 403 403 403 403 403 401", "404 404 403 403 403 403 403 403 403 401"
    ),
    ("POST", "/api/medical-records/<uuid:record_id>/restore"): row(
        "409 403 403 403 403 403 403 403 403 401", "404 404 403 403 403 403 403 403 403 401"
    ),
    ("POST", "/api/medical-records/<uuid:record_id>/close"): row(
        "200 403 403 403 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
    ("GET", "/api/medical-records/<uuid:record_id>/versions"): READ_PATIENT,
    ("GET", "/api/medical-records/<uuid:record_id>/versions/<int:number>"): READ_PATIENT,
    # patients
    ("GET", "/api/patients"): READ_LIST,
    ("POST", "/api/patients/search"): row("200 200 200 200 200 200 403 403 403 401"),
    ("POST", "/api/patients"): row("201 201 201 201 201 403 403 403 403 401"),
    ("GET", "/api/patients/<uuid:patient_id>"): READ_PATIENT,
    ("PUT", "/api/patients/<uuid:patient_id>"): row(
        "200 403 200 403 200 403 403 403 403 401", "404 404 404 404 404 403 403 403 403 401"
    ),
    ("DELETE", "/api/patients/<uuid:patient_id>"): row(
        "204 403 403 403 204 403 403 403 403 401", "404 404 403 403 404 403 403 403 403 401"
    ),
    # it is active: there is nothing to restore
    ("POST", "/api/patients/<uuid:patient_id>/restore"): row(
        "409 403 403 403 409 403 403 403 403 401", "404 404 403 403 404 403 403 403 403 401"
    ),
    ("GET", "/api/patients/<uuid:patient_id>/care-team"): READ_PATIENT,
    ("GET", "/api/patients/<uuid:patient_id>/allergies"): READ_PATIENT,
    ("POST", "/api/patients/<uuid:patient_id>/allergies"): row(
        "201 403 201 403 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
    # somebody else is added: nobody may add themselves
    ("POST", "/api/patients/<uuid:patient_id>/care-team"): row(
        "201 403 403 403 201 403 403 403 403 401", "404 404 403 403 404 403 403 403 403 401"
    ),
    ("DELETE", "/api/patients/<uuid:patient_id>/care-team/<uuid:user_id>"): row(
        "204 403 403 403 204 403 403 403 403 401", "404 404 403 403 404 403 403 403 403 401"
    ),
    # inside already: there is no glass to break
    ("POST", "/api/patients/<uuid:patient_id>/break-glass"): row(
        "409 201 409 201 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
    # visits
    ("GET", "/api/visits"): READ_LIST,
    ("POST", "/api/visits"): row("201 201 201 403 201 403 403 403 403 401", "404 404 404 404 404 403 403 403 403 401"),
    ("POST", "/api/visits/<uuid:visit_id>/call"): row(
        "200 200 403 403 403 403 403 403 403 401", "404 404 403 403 403 403 403 403 403 401"
    ),
    ("POST", "/api/visits/<uuid:visit_id>/close"): row(
        "200 200 200 403 200 403 403 403 403 401", "404 404 404 404 404 403 403 403 403 401"
    ),
    # the trail
    ("GET", "/api/audit-events"): row("200 200 200 200 403 403 200 403 403 401"),
    ("GET", "/api/me/access-log"): row("403 403 403 403 403 403 403 200 200 401"),
    ("GET", "/api/me"): row("200 200 200 200 200 200 200 200 200 401"),
}

# For people at a browser, tried with sessions in test_imports_api.py.
SESSION_ONLY: set[tuple[str, str]] = {
    ("POST", "/api/imports"),
    ("GET", "/api/imports/<uuid:job_id>"),
    ("GET", "/api/imports/<uuid:job_id>/rejects"),
}
