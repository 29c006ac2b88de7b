"""The screen that merges two edits of one record: what it shows, and what its choices come to.

Nothing is preselected where both sides changed a field: the writer takes theirs, the other's, or own words. A choice
counts for the version it was made against; when that is stale too, the screen comes again, and only what the third
edit left alone stays chosen.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Response
from flask_babel import gettext

from services.draft_get import discard_draft
from services.errors import Invalid, StaleVersion
from services.record_edit import save_edit
from services.record_fields import CONTENT, time_text
from services.record_text import input_text, touched, typed
from services.record_update import may_update
from services.record_versions import get_version
from services.text_diff import diff
from services.three_way import MergedField, Outcome, merge
from web.api.record_schemas import RecordChange
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.merging import MINE, OWN, THEIRS, MergeRow, are_decided, choices_of
from web.forms.reading import read_form
from web.htmx import go, show
from web.runtime import runtime
from web.views.ai_card import helped_by
from web.views.record_form_page import RecordForm, form_id

LONG = frozenset({"diagnosis", "treatment", "notes"})
TEXTS = LONG | {"title"}


def show_conflict(page: RecordForm, base: dict[str, Any], current: int) -> Response:
    """The screen for an edit that met version ``current``; when both sides want the same, the record as saved."""
    theirs = _version(page, current)
    fields = _fields(page, base, theirs)
    if not any(field.outcome in (Outcome.MINE, Outcome.CONFLICT) for field in fields):
        with unit_of_work() as session:
            discard_draft(session, current_actor(), form_id(page.form))
        return go(_record_path(page), done="record-saved")  # type: ignore[return-value]
    return _show(page, base, theirs, fields, {}, 409)


def _number(text: str) -> int:
    """A version as the form sent it; 0, which no version has, for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def submit_merged(page: RecordForm, base: dict[str, Any]) -> Any:
    """Save the merged record, or show the screen again: undecided (422), not acceptable (422), stale again (409)."""
    given = page.form.values
    against = _version(page, _number(given.get("theirs", "")))
    fields = _fields(page, base, against)
    choices = choices_of(given, (field.name for field in fields if field.outcome is Outcome.CONFLICT))
    if not are_decided(choices):
        page.form.errors[""] = gettext("Choose what stays of each field that both of you changed.")
        return _show(page, base, against, fields, choices, 422)
    merged, wrong = _decided(page, fields, choices)
    if wrong:
        page.form.errors |= wrong
        return _show(page, base, against, fields, choices, 422)
    actor, cipher = current_actor(), runtime().cipher
    try:
        with unit_of_work() as session:
            access = may_update(session, actor, _record_id(page))
            save_edit(
                session, actor, cipher, access, version=against["version"], content=merged,
                reason=_body(page).reason, helped_by=helped_by(page.form),
            )  # fmt: skip
            discard_draft(session, actor, form_id(page.form))
    except StaleVersion as error:
        newer = _version(page, error.current_version)
        kept = {name: choice for name, choice in choices.items() if newer[name] == against[name]}
        page.form.errors[""] = gettext("It was changed once more meanwhile. Look at the newest version, then choose.")
        return _show(page, base, newer, _fields(page, base, newer), kept, 409)
    except Invalid as error:
        page.form.refuse(error)
        return _show(page, base, against, fields, choices, 422)
    return go(_record_path(page), done="record-saved")


def _version(page: RecordForm, number: int) -> dict[str, Any]:
    with unit_of_work() as session:
        return get_version(session, current_actor(), _record_id(page), number)


def _fields(page: RecordForm, base: dict[str, Any], theirs: dict[str, Any]) -> list[MergedField]:
    """What differs among the three, of the fields that the writer sees and may write."""
    changed = touched(page.form.values, typed(base, runtime().settings.timezone))
    sent = _body(page).sent()
    mine = {name: _plain(sent[name]) if name in changed and name in sent else base[name] for name in CONTENT}
    return merge(base, mine, theirs, page.writable)


def _plain(value: Any) -> Any:
    """As a version's content has it."""
    if isinstance(value, datetime):
        return time_text(value)
    return None if value == "" else value


def _decided(
    page: RecordForm, fields: list[MergedField], choices: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """(field → value that differs from theirs, field → what is wrong with own words)."""
    zone = runtime().settings.timezone
    texts: dict[str, str] = {}
    for field in fields:
        choice = choices.get(field.name, MINE if field.outcome is Outcome.MINE else THEIRS)
        if choice == OWN:
            texts[field.name] = page.form.values.get(f"own.{field.name}", "")
        elif choice == MINE:
            texts[field.name] = page.form.values.get(field.name, input_text(field.name, field.mine, zone))
    form = read_form(RecordChange, given=texts)
    return ({}, form.errors) if form.body is None else (form.body.sent(), {})


def _show(
    page: RecordForm, base: dict[str, Any], theirs: dict[str, Any], fields: list[MergedField],
    choices: Mapping[str, str], status: int,
) -> Response:  # fmt: skip
    zone = runtime().settings.timezone
    rows = []
    for field in fields:
        is_text = field.name in TEXTS
        own = page.form.values.get(f"own.{field.name}", input_text(field.name, field.mine, zone))
        rows.append(
            MergeRow(
                field.name, field.outcome, field.base, field.mine, field.theirs, choices.get(field.name, ""), own,
                diff(field.base or "", field.mine or "") if is_text else None,
                diff(field.base or "", field.theirs or "") if is_text else None,
            )
        )  # fmt: skip
    return show(
        "record_form/conflict.html",
        {"record-area": "record_form/_conflict.html"},
        status=status, page=page, form=page.form, base=base, theirs=theirs, rows=rows, long=LONG,
        record_path=_record_path(page),
    )  # fmt: skip


def _record_id(page: RecordForm) -> uuid.UUID:
    assert page.record is not None  # noqa: S101  (an edit is of a record)
    return uuid.UUID(page.record["id"])


def _record_path(page: RecordForm) -> str:
    return f"/medical-records/{_record_id(page)}"


def _body(page: RecordForm) -> RecordChange:
    assert page.form.body is not None  # noqa: S101  (a form that can't be read goes back before it is merged)
    body: RecordChange = page.form.body
    return body
