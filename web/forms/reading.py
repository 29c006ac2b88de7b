"""Read a form into the model of the API call that does the same, and keep what was typed to show it again.

Field names are the API's. An empty input is null where the model takes null, and left out elsewhere; a time
without a zone is the clinic's; a list is written with commas or spaces between its items.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from flask import request
from flask_babel import gettext
from pydantic import AwareDatetime, BaseModel, ValidationError

from services.errors import Invalid
from web.csrf import FIELD
from web.forms.sentences import said, what_is_wrong
from web.runtime import runtime

Model = TypeVar("Model", bound=BaseModel)
BETWEEN = re.compile(r"[\s,;]+")
MOMENTS = {datetime, AwareDatetime}
WHOLE = ""  # the key of errors that belong to no field


@dataclass
class Form(Generic[Model]):
    """``values``: field → text as typed; ``errors``: field → sentence in the reader's language; ``body``: the
    model, None while something is wrong."""

    values: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    body: Model | None = None

    @property
    def whole(self) -> str | None:
        """What is wrong with the form as a whole."""
        return self.errors.get(WHOLE)

    def refuse(self, error: Invalid) -> None:
        """Take over what a service found wrong."""
        for item in error.errors:
            self.errors.setdefault(item.pointer.split("/")[1] if "/" in item.pointer else WHOLE, said(item.message))
        if not error.errors:
            self.errors[WHOLE] = said(error.detail)


def read_form(
    model: type[Model], *, beside: Iterable[str] = (), given: Mapping[str, str] | None = None
) -> Form[Model]:
    """The request's form as ``model``, or ``given`` as if it were the form. ``beside``: names of inputs that are
    the page's own and no field of it; they are in ``values`` all the same. Any other input that the model does not
    know is an error."""
    fields = {info.alias or name: info.annotation for name, info in model.model_fields.items()}
    sent = _sent(fields) if given is None else given
    form: Form[Model] = Form(values={name: text for name, text in sent.items() if name != FIELD})
    data: dict[str, Any] = {}
    for name, text in sent.items():
        if name in fields:
            _take(data, name, text, fields[name])
        elif name != FIELD and name not in beside:
            form.errors[WHOLE] = gettext("The form has a field that is not known here. Load the page again.")
    if any("\0" in value for value in sent.values()):
        form.errors[WHOLE] = gettext("The form has a character that can't be stored.")
    try:
        body = model.model_validate(data)
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            name = str(item["loc"][0]) if item["loc"] else WHOLE
            form.errors.setdefault(name, what_is_wrong(str(item["type"]), dict(item.get("ctx") or {})))
    else:
        form.body = None if form.errors else body
    return form


def filled(values: Mapping[str, Any]) -> Form[Any]:
    """A form that shows ``values`` (a representation) to be changed."""
    return Form(values={name: value for name, value in values.items() if value is not None})


def _take(data: dict[str, Any], name: str, given: str, annotation: Any) -> None:
    kinds = set(_kinds(annotation))
    if list in kinds:
        data[name] = [item for item in BETWEEN.split(given) if item]
    elif given == "":
        if type(None) in kinds:
            data[name] = None
        elif str in kinds:
            data[name] = ""
    elif kinds & MOMENTS:
        data[name] = _moment(given)
    else:
        data[name] = given.replace("\r\n", "\n")


def _sent(fields: Mapping[str, Any]) -> Mapping[str, str]:
    """The request's inputs; several ticked boxes of one name are one list."""
    return {
        name: " ".join(texts) if _is_list(fields.get(name)) else texts[0] for name, texts in request.form.lists()
    }


def _is_list(annotation: Any) -> bool:
    return annotation is not None and list in set(_kinds(annotation))


def _moment(given: str) -> Any:
    try:
        value = datetime.fromisoformat(given)
    except ValueError:
        return given
    return value if value.tzinfo is not None else value.replace(tzinfo=runtime().settings.timezone)


def _kinds(annotation: Any) -> Iterable[Any]:
    """The plain types that ``annotation`` is made of: those of a union, of what ``Annotated`` wraps, list itself."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _kinds(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _kinds(part)
    elif origin is typing.Literal:
        yield typing.Literal
    else:
        yield origin or annotation
