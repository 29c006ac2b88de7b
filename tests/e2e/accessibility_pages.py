"""Which pages there are to look at, and as whom; a route that no line here leads to fails a test.

``{names}`` stand for the objects of ``accessibility_scene``.
"""

from __future__ import annotations

RECORD, PATIENT, USER = "/medical-records/{record}", "/patients/{patient}", "/users/{user}"

# Role → its pages: whatever only it has, or has otherwise than another.
PAGES: dict[str, tuple[str, ...]] = {
    "nobody": ("/login", "/login?done=password-chosen", "/invitations/{link}", "/api/docs"),
    "newcomer": ("/password",),
    "doctor": (
        "/", "/patients", "/patients/new?unidentified", PATIENT, f"{PATIENT}/edit", f"{PATIENT}/timeline",
        f"{PATIENT}/care-team", f"{PATIENT}/summary", "/medical-records", "/medical-records/new?patientId={patient}",
        "/medical-records/new/patient", "/cid10/search", "/medical-records/new?amendsId={closed}", RECORD,
        f"{RECORD}/edit",
        f"{RECORD}/versions", f"{RECORD}/close", f"{RECORD}/inactivate", "/medical-records/{closed}",
        "/medical-records/{closed}/edit", "/medical-records/{inactive}?includeDeleted=true",
        "/medical-records/{inactive}/restore", "/drafts", "/notifications", "/audit", "/emergency-accesses/{grant}",
        "/me", "/password", "/step-up",
    ),
    "doctor2": (
        PATIENT, RECORD, f"{PATIENT}/break-glass", "/medical-records?patientId={patient}", "/drafts/{lost_draft}",
    ),
    "nurse": ("/", PATIENT, RECORD, "/visits/{visit}/triage"),
    "nurse2": (PATIENT, RECORD, f"{PATIENT}/break-glass", "/drafts", "/notifications"),
    "reception": ("/", "/visits/new", "/visits/new/{patient}", PATIENT, f"{PATIENT}/care-team", RECORD),
    "admin": (
        "/", "/users", "/users/new", USER, f"{USER}/roles", f"{USER}/tokens/new", "/users/requests/{request}",
        "/rate-limits", "/rate-limits/users/{user}", "/rate-limits/tokens/{token}", "/system",
        "/system/jobs/cleanup.expired", "/system/dead-letters/{letter}", "/imports", "/imports/{job}",
        "/imports/{running_job}", "/backups", "/backups/{backup}",
        "/backups/{failed_backup}", "/backups/{running_backup}",
        "/access-rules", "/access-rules?rule=family_name", "/access-rules?rule=at_night", "/ai",
        RECORD,
    ),
    "auditor": (
        "/", "/audit", "/emergency-accesses", "/emergency-accesses/{grant}", "/emergency-accesses/{running}",
        "/access-alerts", "/access-alerts/{alert}", "/access-rules", "/access-rules?rule=at_night",
        "/audit/alarm", "/ai",
    ),
    "patient": ("/me", "/medical-records"),
}  # fmt: skip

# Pages that say that something is not to be had, and the status they say it with.
REFUSALS: tuple[tuple[str, str, int], ...] = (
    ("nobody", "/nothing-here", 404),
    ("nobody", "/invitations/worn-out", 404),
    ("doctor", "/system", 403),
    ("doctor", "/medical-records/{inactive}", 410),
    ("doctor", "/patients/{gone}", 410),
    ("nurse2", "/medical-records/{inactive}", 410),
)

# Rule → why nobody looks at it.
NO_PAGE = {
    "/livez": "for programs",
    "/readyz": "for programs",
    "/metrics": "for programs",
    "/static/<fingerprint>/<path:name>": "files",
    "/me/access-receipt": "a text file",
    "/live": "a word for scripts",
    "/live/stay": "no answer at all",
    "/live/form-token": "a word for scripts",
    "/notifications/bell": "a part of every page",
    "/users/requests": "a part of /users",
    "/ai/questions/<uuid:question_id>": "a part of the form that it was asked from",
    "/users/<uuid:user_id>/link": "a part of the user's page",
}
