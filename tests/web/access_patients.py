"""Who gets what from the pages about patients."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.web.access_table import Expected, row

ITEM = "/patients/<uuid:patient_id>"

# Columns:   doc doc2 nur nur2 rec adm aud pat str anon
FIND = row("200 200 200 200 200 200 403 403 403 401")
REGISTER = "200 200 200 200 200 403 403 403 403 401"

PAGES: dict[tuple[str, str], Expected] = {
    ("GET", "/patients"): FIND,
    ("POST", "/patients"): FIND,
    # a patient is led to their own page
    ("GET", ITEM): row("200 200 200 200 200 200 403 303 404 401", "404 404 404 404 404 404 403 404 404 401"),
    ("GET", f"{ITEM}/timeline"): row(
        "200 200 200 200 200 200 403 403 403 401", "404 404 404 404 404 404 403 403 403 401"
    ),
    ("GET", "/patients/new"): row(REGISTER),
    ("POST", "/patients/new"): row("303 303 303 303 303 403 403 403 403 401"),
    ("POST", "/patients/check"): row(REGISTER),
    ("GET", f"{ITEM}/edit"): row("200 403 200 403 200 403 403 403 403 401", "404 404 404 404 404 403 403 403 403 401"),
    ("POST", f"{ITEM}/edit"): row("303 403 303 403 303 403 403 403 403 401", "404 404 404 404 404 403 403 403 403 401"),
    ("POST", f"{ITEM}/inactivate"): row(
        "303 403 403 403 303 403 403 403 403 401", "404 404 403 403 404 403 403 403 403 401"
    ),
    # it is active: there is nothing to restore
    ("POST", f"{ITEM}/restore"): row(
        "409 403 403 403 409 403 403 403 403 401", "404 404 403 403 404 403 403 403 403 401"
    ),
    ("POST", f"{ITEM}/allergies"): row(
        "303 403 303 403 403 403 403 403 403 401", "404 404 404 404 403 403 403 403 403 401"
    ),
    ("GET", f"{ITEM}/care-team"): row(
        "200 403 403 403 200 403 403 403 403 401", "404 404 403 403 404 403 403 403 403 401"
    ),
    # somebody else is added: nobody may add themselves
    ("POST", f"{ITEM}/care-team"): row(
        "303 403 403 403 303 403 403 403 403 401", "404 404 403 403 404 403 403 403 403 401"
    ),
    # the colleague is not on the team: those who may change it are told that there is nobody to remove
    ("POST", f"{ITEM}/care-team/<uuid:user_id>/remove"): row(
        "404 403 403 403 404 403 403 403 403 401", "404 404 403 403 404 403 403 403 403 401"
    ),
    ("POST", "/staff"): row("200 200 200 200 200 403 403 403 403 401"),
}
FORMS: dict[tuple[str, str], Callable[[dict[str, uuid.UUID]], dict[str, str]]] = {
    ("POST", "/patients"): lambda _: {"q": "zeca"},
    ("POST", "/patients/new"): lambda ids: {"fullName": f"Pessoa {ids['record_id']}", "sex": "UNKNOWN"},
    ("POST", "/patients/check"): lambda _: {"_field": "cpf", "cpf": "1"},
    ("POST", f"{ITEM}/edit"): lambda _: {"phone": "11 5555-0199", "version": "1"},
    ("POST", f"{ITEM}/inactivate"): lambda _: {"reason": "cadastro em duplicidade", "version": "1"},
    ("POST", f"{ITEM}/restore"): lambda _: {"reason": "era válido"},
    ("POST", f"{ITEM}/allergies"): lambda _: {"substance": "Dipirona"},
    ("POST", f"{ITEM}/care-team"): lambda ids: {"userId": str(ids["user_id"])},
    ("POST", f"{ITEM}/care-team/<uuid:user_id>/remove"): lambda _: {},
    ("POST", "/staff"): lambda _: {"q": "ana"},
}
ON_A_PATIENT_OF_THEIR_OWN: set[tuple[str, str]] = {
    ("POST", f"{ITEM}/edit"),
    ("POST", f"{ITEM}/inactivate"),
    ("POST", f"{ITEM}/restore"),
    ("POST", f"{ITEM}/care-team"),
}
ELSEWHERE: set[tuple[str, str]] = set()
