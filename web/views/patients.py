"""``/patients``: find a patient by name or exact number; searches are POST, for no name may stand in an address."""

from __future__ import annotations

import re
import uuid
from typing import Any

import orjson
from flask import Response
from flask_babel import gettext

from services.care_team_mine import own_patients
from services.errors import Invalid, QuotaExceeded
from services.patient_list import PatientSearch, list_patients, search_patients
from services.permissions import Permission
from services.record_list import JsonPage
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.patient import SearchForm
from web.forms.reading import Form, read_form
from web.guards import Guard, Routes
from web.htmx import show
from web.runtime import runtime

routes = Routes("patients_pages")
PAGE = "patients/patients.html"
FRAGMENTS = {"patients-found": "patients/_found.html", "patients-more": "patients/_rows.html"}
NUMBER = re.compile(r"[\d .\-]+", re.ASCII)
KINDS = {11: "cpf", 15: "cns"}  # by how many digits they have
SHORTEST = 2  # letters: one alone finds half the clinic
EMPTY = JsonPage(b"[]", None)


def index() -> Response:
    """Everybody by name."""
    return _answer(Form(values={}, body=SearchForm()))


def search() -> Response:
    """By beginnings of name words, or by a whole CPF or CNS; the next page of either list."""
    return _answer(read_form(SearchForm))


def _answer(form: Form[SearchForm]) -> Response:
    actor = current_actor()
    status, hint, retry_after, page = 200, None, None, EMPTY
    body = form.body or SearchForm()
    try:
        if form.body is None:
            status = 422
        else:
            page, hint = _find(body)
    except Invalid as error:
        if any(item.pointer == "/cursor" for item in error.errors):
            raise
        status, form.errors = 422, {"q": _wrong(error)}
    except QuotaExceeded as error:
        status, retry_after = 429, error.retry_after
    patients = orjson.loads(page.data)
    with unit_of_work() as session:
        mine = own_patients(session, actor, [uuid.UUID(each["id"]) for each in patients])
    answer = show(
        PAGE, FRAGMENTS, status=status, form=form, q=body.q.strip(), include_deleted=body.include_deleted,
        patients=patients, next_cursor=page.next_cursor, mine={str(each) for each in mine}, hint=hint,
        retry_after=retry_after, may_register=actor.may(Permission.PATIENT_CREATE),
    )  # fmt: skip
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


def _find(body: SearchForm) -> tuple[JsonPage, str | None]:
    """The page, or what to do to get one. Numbers are looked up only when somebody asks for it: each look-up
    may count, and what is half typed is nobody's number."""
    here, actor, q = runtime(), current_actor(), body.q.strip()
    if not q or (body.typing and len(q) < SHORTEST):
        page = list_patients(
            here.databases, actor, here.cipher, include_deleted=body.include_deleted, cursor=body.cursor
        )
        return page, None
    wanted: dict[str, Any] = {"q": q}
    if NUMBER.fullmatch(q):
        digits = "".join(each for each in q if each.isdigit())
        kind = KINDS.get(len(digits))
        if kind is None:
            return EMPTY, gettext("To search by number, write all of it: 11 digits of the CPF or 15 of the CNS.")
        if body.typing:
            return EMPTY, gettext("Press Enter to search by this number.")
        wanted = {kind: digits}
    page = search_patients(
        here.databases, actor, here.cipher, PatientSearch(include_deleted=body.include_deleted, **wanted),
        cursor=body.cursor,
    )  # fmt: skip
    return page, None


def _wrong(error: Invalid) -> str:
    pointers = {item.pointer for item in error.errors}
    if "/cpf" in pointers:
        return str(gettext("This CPF can't be right: compare its 11 digits with the document."))
    if "/cns" in pointers:
        return str(gettext("This CNS can't be right: compare its 15 digits with the card."))
    return str(gettext("Search by one to ten words of a name."))


# Whoever may look a patient up: not patients themselves, whose own page is /me.
FIND = Guard(Permission.PATIENT_LOOKUP)

routes.add("/patients", view=index, guard=FIND)
routes.add("/patients", view=search, guard=FIND, methods=["POST"])
