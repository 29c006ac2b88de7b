"""Who gets what from the pages of this area: administration."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.web.access_table import Expected, row

PAGES: dict[tuple[str, str], Expected] = {}
FORMS: dict[tuple[str, str], Callable[[dict[str, uuid.UUID]], dict[str, str]]] = {}
ON_A_PATIENT_OF_THEIR_OWN: set[tuple[str, str]] = set()
ELSEWHERE: set[tuple[str, str]] = set()

# system, quotas, imports: for administrators alone
ADMIN_ONLY = row("403 403 403 403 403 200 403 403 403 401")
ADMIN_ONE = row("403 403 403 403 403 200 403 403 403 401", "403 403 403 403 403 404 403 403 403 401")
ADMIN_ACT = row("403 403 403 403 403 303 403 403 403 401", "403 403 403 403 403 404 403 403 403 401")

PAGES |= {
    ("GET", "/system"): ADMIN_ONLY,
    ("GET", "/rate-limits"): ADMIN_ONLY,
    ("GET", "/rate-limits/users/<uuid:user_id>"): ADMIN_ONE,
    ("POST", "/rate-limits/users/<uuid:user_id>"): ADMIN_ACT,
    ("GET", "/rate-limits/tokens/<uuid:token_id>"): ADMIN_ONE,
    ("POST", "/rate-limits/tokens/<uuid:token_id>"): ADMIN_ACT,
    ("GET", "/imports"): ADMIN_ONLY,
    # a form without a file is none of this kind; files are sent in test_imports_pages.py
    ("POST", "/imports"): row("403 403 403 403 403 415 403 403 403 401"),
    ("GET", "/imports/<uuid:job_id>"): ADMIN_ONE,
    ("POST", "/imports/<uuid:job_id>/cancel"): ADMIN_ACT,
    # it runs: there is nothing to try again
    ("POST", "/imports/<uuid:job_id>/retry"): row(
        "403 403 403 403 403 409 403 403 403 401", "403 403 403 403 403 404 403 403 403 401"
    ),
}
FORMS |= {
    ("POST", "/rate-limits/users/<uuid:user_id>"): lambda ids: {"requests": "60", "per": "minute"},
    ("POST", "/rate-limits/tokens/<uuid:token_id>"): lambda ids: {"requests": "", "per": "minute"},
    ("POST", "/imports"): lambda ids: {"format": "auto"},
    ("POST", "/imports/<uuid:job_id>/cancel"): lambda ids: {},
    ("POST", "/imports/<uuid:job_id>/retry"): lambda ids: {},
}
