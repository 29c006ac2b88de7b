"""Who gets what from the pages about administration."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.web.access_table import Expected, row

PAGES: dict[tuple[str, str], Expected] = {}
FORMS: dict[tuple[str, str], Callable[[dict[str, uuid.UUID]], dict[str, str]]] = {}
ON_A_PATIENT_OF_THEIR_OWN: set[tuple[str, str]] = set()
ELSEWHERE: set[tuple[str, str]] = set()

# users
# Columns:     doc doc2 nur nur2 rec adm aud pat str anon
ADMIN_LIST = row("403 403 403 403 403 200 403 403 403 401")
ADMIN_LIST_ACT = row("403 403 403 403 403 303 403 403 403 401")
ADMIN_PAGE = row("403 403 403 403 403 200 403 403 403 401", "403 403 403 403 403 404 403 403 403 401")
ADMIN_ACT = row("403 403 403 403 403 303 403 403 403 401", "403 403 403 403 403 404 403 403 403 401")
# The matrix's sessions typed no password again, so an administrator is sent to do so first, whatever the object;
# tests/web/test_users_pages.py goes on from there.
ADMIN_SURE = row("403 403 403 403 403 303 403 403 403 401", "403 403 403 403 403 303 403 403 403 401")
USER = "/users/<uuid:user_id>"
REQUEST = "/users/requests/<uuid:request_id>"
PAGES |= {
    ("GET", "/users"): ADMIN_LIST,
    ("POST", "/users/search"): ADMIN_LIST,
    ("GET", "/users/requests"): ADMIN_LIST,
    ("GET", USER): ADMIN_PAGE,
    ("GET", f"{USER}/link"): ADMIN_PAGE,
    ("POST", f"{USER}/disable"): ADMIN_ACT,
    # the colleague is not disabled: the page comes back and says so
    ("POST", f"{USER}/enable"): row(
        "403 403 403 403 403 422 403 403 403 401", "403 403 403 403 403 404 403 403 403 401"
    ),
    ("POST", f"{USER}/reset"): ADMIN_ACT,
    ("GET", "/users/new"): ADMIN_SURE,
    ("POST", "/users/new"): ADMIN_SURE,
    ("GET", f"{USER}/roles"): ADMIN_SURE,
    ("POST", f"{USER}/roles"): ADMIN_SURE,
    ("POST", f"{USER}/roles/remove"): ADMIN_SURE,
    ("GET", REQUEST): ADMIN_SURE,
    ("POST", f"{REQUEST}/approve"): ADMIN_SURE,
    ("POST", f"{REQUEST}/decline"): ADMIN_SURE,
    ("GET", f"{USER}/tokens/new"): ADMIN_SURE,
    ("POST", f"{USER}/tokens"): ADMIN_SURE,
    ("GET", "/step-up"): row("200 200 200 200 200 200 200 200 200 401"),
}
REASON = {"reason": "mudança de equipe"}


def changed_rule(ids: dict[str, uuid.UUID]) -> dict[str, str]:
    """Another number than before, whichever that was."""
    return {
        "rule": "refusals", "isOn": "true", "threshold": str(21 + ids["record_id"].int % 9_000), "windowMinutes": "60",
    } | REASON  # fmt: skip


FORMS |= {
    ("POST", "/access-rules"): changed_rule,
    ("POST", "/users/search"): lambda ids: {"q": "ana"},
    ("POST", "/users/new"): lambda ids: {"fullName": "Nova Pessoa", "email": "nova@example.org"} | REASON,
    **{("POST", f"{USER}/{act}"): lambda ids: REASON for act in ("disable", "enable", "reset")},
    ("POST", f"{USER}/roles"): lambda ids: {"role": "AUDITOR"} | REASON,
    ("POST", f"{USER}/roles/remove"): lambda ids: {"role": "NURSE"} | REASON,
    ("POST", f"{REQUEST}/approve"): lambda ids: {},
    ("POST", f"{REQUEST}/decline"): lambda ids: REASON,
    ("POST", f"{USER}/tokens"): lambda ids: {"name": "x", "role": "NURSE", "scopes": "visits:read", "days": "9"},
}
ELSEWHERE |= {("POST", f"{USER}/tokens/<uuid:token_id>/revoke"), ("POST", "/step-up")}
# system, quotas, imports: for administrators alone
LETTER = "/system/dead-letters/<uuid:letter_id>"

PAGES |= {
    ("GET", "/system"): ADMIN_LIST,
    ("GET", "/system/jobs/<job>"): ADMIN_LIST,
    ("GET", LETTER): ADMIN_PAGE,
    ("POST", f"{LETTER}/retry"): ADMIN_ACT,
    ("POST", f"{LETTER}/dismiss"): ADMIN_ACT,
    ("GET", "/backups"): ADMIN_LIST,
    ("POST", "/backups"): ADMIN_LIST_ACT,
    ("GET", "/backups/<uuid:backup_id>"): ADMIN_PAGE,
    ("GET", "/access-rules"): row("403 403 403 403 403 200 200 403 403 401"),
    ("POST", "/access-rules"): row("403 403 403 403 403 303 403 403 403 401"),
    ("GET", "/rate-limits"): ADMIN_LIST,
    ("GET", "/rate-limits/users/<uuid:user_id>"): ADMIN_PAGE,
    ("POST", "/rate-limits/users/<uuid:user_id>"): ADMIN_ACT,
    ("GET", "/rate-limits/tokens/<uuid:token_id>"): ADMIN_PAGE,
    ("POST", "/rate-limits/tokens/<uuid:token_id>"): ADMIN_ACT,
    ("GET", "/imports"): ADMIN_LIST,
    # a form without a file is none of this kind; files are sent in test_imports_pages.py
    ("POST", "/imports"): row("403 403 403 403 403 415 403 403 403 401"),
    ("GET", "/imports/<uuid:job_id>"): ADMIN_PAGE,
    ("POST", "/imports/<uuid:job_id>/cancel"): ADMIN_ACT,
    # it runs: there is nothing to try again
    ("POST", "/imports/<uuid:job_id>/retry"): row(
        "403 403 403 403 403 409 403 403 403 401", "403 403 403 403 403 404 403 403 403 401"
    ),
}
FORMS |= {
    ("POST", "/rate-limits/users/<uuid:user_id>"): lambda ids: {"requests": "60", "per": "minute"},
    ("POST", "/rate-limits/tokens/<uuid:token_id>"): lambda ids: {"requests": "", "per": "minute"},
    ("POST", f"{LETTER}/retry"): lambda ids: {},
    ("POST", f"{LETTER}/dismiss"): lambda ids: REASON,
    ("POST", "/backups"): lambda ids: {},
    ("POST", "/imports"): lambda ids: {"format": "auto"},
    ("POST", "/imports/<uuid:job_id>/cancel"): lambda ids: {},
    ("POST", "/imports/<uuid:job_id>/retry"): lambda ids: {},
}
