"""Who gets what from the pages of this area: administration."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.web.access_table import Expected

PAGES: dict[tuple[str, str], Expected] = {}
FORMS: dict[tuple[str, str], Callable[[dict[str, uuid.UUID]], dict[str, str]]] = {}
ON_A_PATIENT_OF_THEIR_OWN: set[tuple[str, str]] = set()
ELSEWHERE: set[tuple[str, str]] = set()
