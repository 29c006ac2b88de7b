"""What the form of a record is shown with: its patient, what may be written, the draft that waits for it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import orjson
from flask import Response, request
from flask_babel import gettext

from models import new_id
from models.record import KINDS
from models.user import Role
from services.ai_get import Asked
from services.allergy_list import list_allergies
from services.cid10_codes import release_in_force
from services.cid10_warnings import CodeWarning, code_warnings
from services.draft_get import ShownDraft, get_draft
from services.draft_list import DraftPlace, offered_drafts
from services.errors import Forbidden, NotFound
from services.patient_choices import list_choices
from services.patient_get import get_patient
from services.record_get import get_record
from services.restriction import CID10
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import BETWEEN, Form
from web.htmx import show
from web.live_token import watch_patient
from web.runtime import runtime
from web.views.ai_card import CARDS, CODES, ai_card, id_or_none

PAGE = "record_form/record_form.html"
FRAGMENTS = {
    "record-area": "record_form/_form.html", "chosen-patient": "record_form/_patient.html",
} | dict([CARDS[CODES]])  # fmt: skip
# Inputs that belong to the page and are no field of a record. ``writer`` is who the form was shown to: in a tab that
# outlived its session, somebody else may be signed in by now.
# ``question``: the one whose answer stands in the form; ``helpedBy``: those from whose answers something was taken.
BESIDE = ("draftId", "draftRevision", "formKey", "recordId", "writer", "question", "helpedBy")
SOMEBODY_ELSE = "Somebody else is signed in in this browser now. Sign in as yourself in another tab, then save."
WRITTEN = tuple(kind for kind in KINDS if kind != "ADDENDUM")  # what a writer chooses among


@dataclass
class RecordForm:
    """One form as it is shown. ``mode``: new, addendum or edit."""

    mode: str
    action: str
    form: Form[Any]
    writable: tuple[str, ...]
    patient: dict[str, Any] | None = None
    allergies: list[dict[str, Any]] | None = None
    choices: list[dict[str, Any]] | None = None  # where the patient is still to be chosen
    record: dict[str, Any] | None = None  # the one edited, or the one an addendum amends
    needs_reason: bool = False
    offers: list[DraftPlace] = field(default_factory=list)
    has_codes: bool = False  # a CID-10 table to look codes up in
    code_warnings: list[CodeWarning] = field(default_factory=list)
    ai_problem: str | None = None  # why the local model could not be asked

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("TRIAGE",) if current_actor().role is Role.NURSE else WRITTEN


def show_form(page: RecordForm, status: int = 200) -> Response:
    page.form.values.setdefault("draftId", str(new_id()))
    page.form.values.setdefault("draftRevision", "0")
    page.form.values.setdefault("formKey", uuid.uuid4().hex)
    if "cid10Codes" in page.writable:
        look_at_codes(page)
    values = page.form.values
    patient_id = None if page.patient is None else uuid.UUID(page.patient["id"])
    card = ai_card(
        CODES, id_or_none(values.get("question")), patient_id, problem=page.ai_problem,
        now=Asked(values.get("diagnosis", ""), {}),
    )  # fmt: skip
    return show(PAGE, FRAGMENTS, status=status, page=page, form=page.form, card=card)


def look_at_codes(page: RecordForm) -> None:
    """Say what is odd about the codes for the patient, as far as the page shows them to its reader."""
    patient = page.patient or {}
    codes = BETWEEN.split(page.form.values.get("cid10Codes", ""))
    with unit_of_work() as session:
        page.has_codes = release_in_force(session) is not None
        page.code_warnings = code_warnings(
            session,
            [code for code in codes if CID10.fullmatch(code)],
            sex=patient.get("sex"),
            is_deceased=bool(patient.get("deceasedAt")),
        )


def about_patient(page: RecordForm, patient_id: uuid.UUID | None) -> None:
    """Put the patient beside the form, or whom it might be about."""
    here, actor = runtime(), current_actor()
    if patient_id is not None:
        show_patient(page, patient_id)
    if page.mode == "new" and not _has_fixed_patient(page):
        page.choices = list_choices(here.databases, actor)
        chosen = page.patient
        if chosen is not None and all(choice["id"] != chosen["id"] for choice in page.choices):
            page.choices.insert(0, chosen)


def show_patient(page: RecordForm, patient_id: uuid.UUID) -> None:
    """Who it is and what they must not be given. Raises NotFound, Gone."""
    here, actor = runtime(), current_actor()
    watch_patient(patient_id)
    page.patient = orjson.loads(get_patient(here.databases, actor, here.cipher, patient_id).data)
    page.allergies = orjson.loads(list_allergies(here.databases, actor, patient_id).data)


def _has_fixed_patient(page: RecordForm) -> bool:
    """A visit is somebody's."""
    return bool(page.form.values.get("visitId"))


def about_record(page: RecordForm, record_id: uuid.UUID) -> dict[str, Any]:
    """Put the record that is edited or amended beside the form, as this actor sees it."""
    shown: dict[str, Any] = orjson.loads(get_record(runtime().databases, current_actor(), record_id).data)
    page.record = shown
    return shown


def offer_drafts(page: RecordForm, **place: uuid.UUID | None) -> None:
    """Name the drafts that wait for this form, but for the one that it already continues."""
    with unit_of_work() as session:
        found = offered_drafts(session, current_actor(), **place)
    page.offers = [offer for offer in found if str(offer.id) != page.form.values.get("draftId")]


def continued_draft() -> ShownDraft | None:
    """The draft that the address names, through today's mask. Raises NotFound."""
    draft_id = asked_id("draftId")
    if draft_id is None:
        return None
    with unit_of_work() as session:
        return get_draft(session, current_actor(), draft_id)


def take_draft(form: Form[Any], draft: ShownDraft) -> None:
    form.values |= draft.values
    form.values |= {"draftId": str(draft.id), "draftRevision": str(draft.revision), "draftSavedAt": draft.updated_at}


def asked_id(name: str) -> uuid.UUID | None:
    """An id in the address, None when there is none. Raises NotFound for what is no id."""
    given = request.args.get(name, "")
    return to_id(given) if given else None


def to_id(given: str) -> uuid.UUID:
    """Raises NotFound for what is no id: nothing has it."""
    try:
        return uuid.UUID(given)
    except ValueError:
        raise NotFound("There is nothing at this address.") from None


def form_id(form: Form[Any]) -> uuid.UUID:
    """The id that the form was shown with; a new one for a form that never was (a script's)."""
    given = form.values.get("draftId", "")
    return to_id(given) if given else new_id()


def require_same_writer() -> None:
    """Raise Forbidden when the form was shown to somebody other than who sends it."""
    writer = request.form.get("writer")
    if writer and writer != str(current_actor().user_id):
        raise Forbidden(SOMEBODY_ELSE)


def saved_before() -> str:
    """What a form says that was saved before with another text."""
    return str(gettext("This form was saved before. What you changed since then is not in the record: edit it there."))
