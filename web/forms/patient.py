"""The patient pages' own forms, and what is wrong with a patient's fields in words a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from flask import request
from flask_babel import gettext
from pydantic import Field, StringConstraints

from models.base import VERSION_MAX
from services.errors import Invalid
from services.patient_write import checked
from web.api.patient_schemas import Identification
from web.api.schemas import ApiModel, Reason
from web.clock import for_input
from web.forms.reading import Form

# The inputs of the form, in its order. What is not here the form does not change.
FIELDS = (
    "fullName", "socialName", "motherName", "birthDate", "birthDateEstimated", "sex", "cpf", "cns", "passport",
    "nationality", "phone", "email", "address",
)  # fmt: skip
EDITED = (*FIELDS, "deceasedAt")
CHECKED_BY_RULE = frozenset({"cpf", "cns", "passport", "email", "birthDate"})


class SearchForm(ApiModel):
    """The search of ``/patients``. ``typing``: sent by the page while somebody types, not by them."""

    q: Annotated[str, StringConstraints(max_length=200)] = ""
    cursor: Annotated[str, StringConstraints(max_length=500)] | None = None
    include_deleted: bool = False
    typing: bool = False


class InactivationForm(ApiModel):
    reason: Reason
    version: Annotated[int, Field(ge=1, le=VERSION_MAX)]


class StaffForm(ApiModel):
    """``name``: which field of the page's form the choice is."""

    q: Annotated[str, StringConstraints(max_length=200)] = ""
    role: Literal["DOCTOR", "NURSE"] | None = None
    name: Literal["userId", "doctorId", "responsibleId"] = "userId"


def as_typed(shown: Mapping[str, Any], name: str) -> str:
    """A representation's field as the form's input holds it, to tell whether it was touched."""
    value = shown.get(name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if name == "deceasedAt":
        return for_input(value)
    return "" if value is None else str(value)


def touched(form: Form[Any], base: Mapping[str, Any] | None) -> set[str]:
    """The inputs that differ from what the form was filled with; all of them when that is not known."""
    sent = {name for name in EDITED if name in form.values}
    if base is None:
        return sent
    return {name for name in sent if form.values[name].replace("\r\n", "\n") != as_typed(base, name)}


def explain(form: Form[Any]) -> None:
    """Say what is wrong with a number or a date in the words of the desk, not of the program."""
    sentences = {
        "cpf": gettext("This CPF can't be right: compare its 11 digits with the document."),
        "cns": gettext("This CNS can't be right: compare its 15 digits with the card."),
        "passport": gettext("A passport number has 5 to 20 letters and digits."),
        "email": gettext("An e-mail address, such as nome@exemplo.com.br."),
        "birthDate": gettext("A date between 1850 and today."),
        "deceasedAt": gettext("A time between the birth and now."),
        "responsibleId": gettext("Choose an active doctor of the list."),
    }
    form.errors.update({name: sentence for name, sentence in sentences.items() if name in form.errors})


def check_field(form: Form[Any], name: str) -> None:
    """Check one input by the rules that a type can't say, without looking whether anybody has that number."""
    given = request.form.get(name, "")
    if name not in CHECKED_BY_RULE or not given or name in form.errors:
        return
    try:
        checked({name: date.fromisoformat(given) if name == "birthDate" else given})
    except Invalid as error:
        form.refuse(error)
    except ValueError:
        form.errors[name] = name  # ``explain`` says it


class PatientFormModel(Identification):
    """For checking single inputs while the form is not yet whole: nothing is required."""

    full_name: Annotated[str, StringConstraints(max_length=200)] = ""
    sex: str = ""
    deceased_at: str | None = None
