"""Looking a CID-10 code up: the list of the record form's box, or a page of its own where there is no script.

Nothing of a patient is read: what the form's page already shows of them comes along with the words, both in the body.
"""

from __future__ import annotations

from typing import TypedDict

from flask import Response, request

from models.patient import SEXES
from services.cid10_codes import release_in_force
from services.cid10_remembered import search_remembered
from services.cid10_search import Candidate
from services.permissions import Permission
from web.database import unit_of_work
from web.guards import Guard, Routes
from web.htmx import is_htmx, show
from web.runtime import runtime

routes = Routes("cid10")
PATH = "/cid10/search"
PAGE, FRAGMENTS = "cid10/search.html", {"cid10-options": "cid10/_options.html"}
IN_LIST, ON_PAGE = 8, 30  # codes


class PatientFacts(TypedDict):
    sex: str | None
    is_deceased: bool


def patient_facts() -> PatientFacts:
    """What the form's page shows of the patient and sends along; it decides nothing but what is warned of."""
    sex = request.form.get("sex")
    return {"sex": sex if sex in SEXES else None, "is_deceased": request.form.get("deceased") == "true"}


def search_page() -> Response:
    return _show(None)


def find() -> Response:
    q = request.form.get("q", "").replace("\0", "").strip()
    if not q:
        return _show(None)
    with unit_of_work() as session:
        found = search_remembered(
            session, runtime().cache, q, limit=IN_LIST if is_htmx() else ON_PAGE, **patient_facts()
        )
    return _show(found)


def _show(found: list[Candidate] | None) -> Response:
    with unit_of_work() as session:
        has_codes = release_in_force(session) is not None
    return show(
        PAGE, FRAGMENTS, found=found, has_codes=has_codes, facts=patient_facts(), q=request.form.get("q", "")
    )  # fmt: skip


WRITES = Guard(Permission.RECORD_CREATE)

routes.add(PATH, view=search_page, guard=WRITES)
routes.add(PATH, view=find, methods=["POST"], guard=WRITES)
