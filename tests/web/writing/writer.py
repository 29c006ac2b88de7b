"""Somebody at a browser who fills in the form of a record: for tests of pages that write."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update

from config import Principal
from models import CareTeamMember, MedicalRecord
from models.engine import Databases
from tests.factories.cast import Person
from tests.web.conftest import Browser

NEW = "/medical-records/new"
Open = Callable[[str | Person], "Writer"]
MakeRecord = Callable[..., uuid.UUID]


class Writer(Browser):
    """Somebody of the cast at a browser, who fills in forms as they were shown."""

    def shown(self, path: str, status: int = 200) -> str:
        answer = self.get(path)
        assert answer.status_code == status, answer.get_data(as_text=True)[:600]
        return answer.get_data(as_text=True)

    def fill(self, path: str, **typed: str) -> dict[str, str]:
        """The inputs of the record form at ``path`` as a browser would send them, with ``typed`` over them."""
        return inputs_of(self.shown(path)) | {name.replace("__", "."): text for name, text in typed.items()}

    def send(self, path: str, fields: dict[str, str], status: int = 303, **headers: str) -> Any:
        answer = self.client.post(
            path, data=fields, headers={"Accept": "text/html", "Sec-Fetch-Site": "same-origin", **headers}
        )
        assert answer.status_code == status, answer.get_data(as_text=True)[:600]
        return answer


def inputs_of(page: str) -> dict[str, str]:
    form = re.search(r'<form id="record-form".*?</form>', page, re.DOTALL)
    assert form is not None
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", form[0]):
        name = re.search(r'name="([^"]+)"', tag)
        is_unticked = ('type="checkbox"' in tag or 'type="radio"' in tag) and " checked" not in tag
        if name is None or 'form="' in tag or is_unticked:
            continue
        value = re.search(r'value="([^"]*)"', tag)
        found.setdefault(name[1], unescape(value[1]) if value else "")
    for name, text in re.findall(r'<textarea[^>]*name="([^"]+)"[^>]*>\n?(.*?)</textarea>', form[0], re.DOTALL):
        found[name] = unescape(text)
    for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', form[0], re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
        found[name] = chosen[1] if chosen else ""
    return found


def unescape(text: str) -> str:
    for written, meant in (("&#34;", '"'), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(written, meant)
    return text


def edit(writer: Writer, record_id: uuid.UUID, **typed: str) -> None:
    path = f"/medical-records/{record_id}/edit"
    writer.send(path, writer.fill(path, **typed))


def record_of(databases: Databases, record_id: uuid.UUID) -> MedicalRecord:
    with databases.session(Principal.STAFF) as session:
        return session.get_one(MedicalRecord, record_id)


def records_of(databases: Databases, patient_id: uuid.UUID) -> int:
    with databases.session(Principal.STAFF) as session:
        return session.scalar(select(func.count()).where(MedicalRecord.patient_id == patient_id)) or 0


def id_in(location: str) -> uuid.UUID:
    found = re.fullmatch(r"/medical-records/([0-9a-f-]{36})\?done=[a-z-]+", location)
    assert found is not None, location
    return uuid.UUID(found[1])


def end_membership(databases: Databases, patient_id: uuid.UUID, user_id: uuid.UUID) -> None:
    with databases.session(Principal.STAFF) as session:
        session.execute(
            update(CareTeamMember)
            .where(CareTeamMember.patient_id == patient_id, CareTeamMember.user_id == user_id)
            .values(removed_at=datetime.now(UTC))
        )
