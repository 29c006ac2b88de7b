"""A clinic that asks a model: people, a patient with a record, and what comes of questions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from config import Principal, Settings
from integrations.ollama import make_language_model
from models import AiRequest, AuditOutbox, MedicalRecord, Visit
from models.engine import Databases
from services.actor import Actor
from services.ai_get import Shown, show_request
from services.ai_request import Asked, ask_codes, ask_priority, ask_summary
from services.ai_run import run_next
from services.field_encryption import FieldCipher
from services.record_create import NewRecord, create_record
from services.record_update import may_update, update_record
from services.vital_signs import VitalSigns
from tests.factories.cast import Cast, Person, join_team, make_cpf, make_patient
from tests.integrations.fake_ollama import FakeOllama

# What must never leave, however it is written.
MOTHER, PHONE, MAIL = "Quitéria Zumbiara", "11 98765-4321", "belarmina.quixaba@example.org"
STREET, BORN = "Rua Itapuranga, 417, Ribeirão Preto", "1957-03-14"
FULL_NAME = "Belarmina Quixabá Fontoura"
DIAGNOSIS = "Hipertensão essencial"


def told(asked: dict[str, Any]) -> dict[str, Any]:
    """The data that a model was given."""
    return dict(json.loads(asked["messages"][1]["content"]))


def quoting(asked: dict[str, Any]) -> str:
    """What a good model says of a summary's data: a sentence for each diagnosis, with its source."""
    given = told(asked)["fontes"]
    said = [
        {"text": f"Em {each['data']}: {each['diagnostico']}.", "sources": [each["ref"]]}
        for each in given
        if each.get("diagnostico")
    ]
    return json.dumps({"sentences": said}, ensure_ascii=False)


def browsing(person: Person) -> Actor:
    """Somebody of the cast with a session: no token may ask a model."""
    return replace(person.actor, scopes=None, token_id=None)


@dataclass(frozen=True)
class Clinic:
    databases: Databases
    settings: Settings
    cipher: FieldCipher
    cast: Cast
    server: FakeOllama

    def patient(self) -> tuple[uuid.UUID, list[str]]:
        """A patient whom the cast's doctor and nurse treat, with one record that names them; and all that would give
        them away."""
        cpf = make_cpf()
        made = make_patient(
            self.databases, self.settings, FULL_NAME, cpf=cpf, mother_name=MOTHER, phone=PHONE, email=MAIL,
            address=STREET, birth_date=BORN,
        )  # fmt: skip
        for person in (self.cast.doctor, self.cast.nurse):
            join_team(self.databases, made, person.id)
        self.write(
            made, title="Consulta", diagnosis=DIAGNOSIS, cid10Codes=["I10"], treatment="Losartana 50 mg ao dia",
            notes=f"Sra. BELARMINA, filha de {MOTHER}, CPF {cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}, tel. {PHONE}, "
            f"mora na {STREET}. Nasceu em 14/03/1957. Atendida por Ana Moura.",
        )  # fmt: skip
        return made, [FULL_NAME, MOTHER, PHONE, MAIL, STREET, BORN, cpf, "Ana Moura"]

    def write(self, patient_id: uuid.UUID, **content: Any) -> uuid.UUID:
        with self.databases.session(Principal.STAFF) as session:
            new = NewRecord(patient_id, content)
            return create_record(session, browsing(self.cast.doctor), self.cipher, new).record.id

    def correct(self, record_id: uuid.UUID, version: int, **content: Any) -> None:
        with self.databases.session(Principal.STAFF) as session:
            actor = browsing(self.cast.doctor)
            access = may_update(session, actor, record_id)
            update_record(session, actor, self.cipher, access, version=version, content=content)

    def ask(self, patient_id: uuid.UUID, person: Person | None = None, **settings: Any) -> Asked:
        here = self.settings.model_copy(update=settings)
        with self.databases.session(Principal.STAFF) as session:
            return ask_summary(session, browsing(person or self.cast.doctor), here, self.cipher, patient_id)

    def ask_codes(
        self, patient_id: uuid.UUID, diagnosis: str, person: Person | None = None, *, edited: uuid.UUID | None = None
    ) -> uuid.UUID:
        actor = browsing(person or self.cast.doctor)
        with self.databases.session(Principal.STAFF) as session:
            record = None if edited is None else session.get_one(MedicalRecord, edited)
            return ask_codes(session, actor, self.settings, self.cipher, patient_id, diagnosis, edited=record).id

    def visit(self, patient_id: uuid.UUID, reason: str, priority: str = "NORMAL") -> uuid.UUID:
        with self.databases.session(Principal.STAFF) as session:
            visit = Visit(patient_id=patient_id, reason=reason, priority=priority, checked_in_by=self.cast.reception.id)
            session.add(visit)
            session.flush()
            return visit.id

    def write_for(self, visit_id: uuid.UUID, patient_id: uuid.UUID, **content: Any) -> None:
        with self.databases.session(Principal.STAFF) as session:
            new = NewRecord(patient_id, content, visit_id=visit_id)
            create_record(session, browsing(self.cast.doctor), self.cipher, new)

    def ask_priority(
        self, visit_id: uuid.UUID, complaint: str = "", person: Person | None = None, **signs: Any
    ) -> uuid.UUID:
        actor = browsing(person or self.cast.nurse)
        with self.databases.session(Principal.STAFF) as session:
            return ask_priority(
                session, actor, self.settings, self.cipher, visit_id, complaint=complaint, signs=VitalSigns(**signs)
            ).id

    def run(self, *, has_model: bool = True, patience: float = 0.0) -> bool:
        model = make_language_model(self.settings, patience=patience) if has_model else None
        return run_next(self.databases, self.cipher, model)

    def show(self, request_id: uuid.UUID, person: Person | None = None) -> Shown:
        with self.databases.session(Principal.STAFF) as session:
            return show_request(session, browsing(person or self.cast.doctor), self.cipher, request_id)

    @contextmanager
    def as_patient(self) -> Iterator[Session]:
        """A session that sees what is the cast's patient's alone."""
        with self.databases.session(Principal.PATIENT) as session:
            named = {"id": str(self.cast.patient_id)}
            session.execute(text("SELECT set_config('sigilo.patient_id', :id, true)"), named)
            yield session

    def row(self, request_id: uuid.UUID) -> AiRequest:
        with self.databases.session(Principal.STAFF) as session:
            return session.get_one(AiRequest, request_id)

    def set(self, request_id: uuid.UUID, settings: str) -> None:
        """Time passes, or something broke."""
        with self.databases.session(Principal.MIGRATOR) as session:
            session.execute(text(f"UPDATE ai_requests SET {settings} WHERE id = :id"), {"id": request_id})

    def events(self, patient_id: uuid.UUID) -> list[str]:
        with self.databases.session(Principal.MIGRATOR) as session:
            found = select(AuditOutbox.action).where(AuditOutbox.patient_id == patient_id).order_by(AuditOutbox.id)
            return list(session.scalars(found))
