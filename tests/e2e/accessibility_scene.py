"""Something to see on every page: the objects that the pages of ``accessibility_pages`` show, in every state."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import insert, update

from config import Principal, Settings
from models import (
    DeadLetter,
    Draft,
    ImportJob,
    ImportReject,
    MedicalRecord,
    Notification,
    Patient,
    RateLimitLog,
    Role,
    RoleRequest,
    User,
    Visit,
    new_id,
)
from models.engine import Databases
from services.allergy_create import NewAllergy, create_allergy
from services.audit_event import SYSTEM
from services.audit_findings import note_findings
from services.audit_report import Report, problem_at
from services.cleanup_expired import RULES
from services.demo_cid10 import put_demo_table
from services.field_encryption import field_cipher
from services.job_run import finish_run
from services.job_schedule import CLEANUP
from services.password_link_request import request_link
from services.password_link_send import claim_link, note_outcome
from services.patient_update import may_update_patient, update_patient
from services.record_close import close_record
from services.record_inactivate import inactivate_record
from services.record_update import may_update, update_record
from services.user_create import create_user
from services.visit_create import NewVisit, create_visit
from tests.audit.trail import drain_all
from tests.factories.alert import make_alert
from tests.factories.backup import make_backup, make_drill_key
from tests.factories.cast import Cast, Person, join_team, make_patient, make_person
from tests.factories.dead_letter import make_dead_letter
from tests.factories.emergency import make_grant
from tests.factories.question import make_question
from tests.web.conftest import PASSWORD
from tests.web.record_pages import write

# As long as names get, and with no place to break in one of them.
LONG_NAME = "Maria Aparecida dos Santos Albuquerque-Cavalcanti de Vasconcelos"
LONG_WORD = "hidroclorotiazida/espironolactona/" * 3
CONTENT = {
    "diagnosis": "Hipertensão essencial, em investigação de causa secundária",
    "treatment": f"Losartana 50 mg de 12 em 12 horas. {LONG_WORD}", "notes": "Nega cefaleia.\n\nRetorno em 30 dias.",
    "cid10Codes": ["I10", "E11.9"],
}  # fmt: skip


class Scene:
    """``ids``: the name that paths use for an object → what stands in its place."""

    def __init__(self, databases: Databases, settings: Settings, cast: Cast) -> None:
        self.databases, self.settings, self.cast = databases, settings, cast
        self.cipher = field_cipher(settings)
        self.word = secrets.token_hex(4)  # finds what this scene made, and nothing else
        self.login = f"{secrets.token_hex(8)}@example.org"  # of somebody with two roles and PASSWORD
        self.colleague = make_person(databases, Role.DOCTOR, "Rosa Dias")  # on the team too
        self.must_change = make_person(databases, Role.RECEPTION, "Nova Na Casa")
        self.ids: dict[str, str] = {}
        with databases.session(Principal.MIGRATOR) as session:
            put_demo_table(session)
        self._make_records()
        self._make_visits()
        self._make_emergencies()
        self._make_drafts()
        self._make_users()
        self._make_imports()
        self._make_background_work()
        self._make_backups()
        make_question(databases, settings, cast.doctor, self.id("patient"))
        make_question(databases, settings, cast.nurse, self.id("patient"), is_answered=False)
        drain_all(databases)

    def path(self, template: str) -> str:
        return template.format(**self.ids)

    def id(self, name: str) -> uuid.UUID:
        return uuid.UUID(self.ids[name])

    def edit_record(self, **content: str) -> None:
        """Somebody else saves another version of ``record`` meanwhile."""
        with self.databases.session(Principal.STAFF) as session:
            access = may_update(session, self.colleague.actor, self.id("record"))
            version = access.record.version
            update_record(session, self.colleague.actor, self.cipher, access, version=version, content=content)

    def edit_patient(self, **content: str) -> None:
        with self.databases.session(Principal.STAFF) as session:
            access = may_update_patient(session, self.cast.nurse.actor, self.id("patient"))
            version = access.patient.version
            update_patient(session, self.cast.nurse.actor, self.cipher, access, version=version, content=content)

    def close_visit(self) -> None:
        """Somebody was quicker, and no open page was told yet."""
        with self.databases.session(Principal.STAFF) as session:
            over = {"status": "LEFT", "closed_at": datetime.now(UTC)}
            session.execute(update(Visit).where(Visit.id == self.id("visit")).values(over))

    def _patient(self, name: str, **values: object) -> uuid.UUID:
        """Somebody with the cast's doctor and nurse on their team."""
        made = make_patient(
            self.databases, self.settings, f"{name} {self.word}", responsible_id=self.cast.doctor.id, **values
        )
        join_team(self.databases, made, self.cast.doctor.id, "RESPONSIBLE")
        for colleague in (self.cast.nurse, self.colleague):
            join_team(self.databases, made, colleague.id)
        return made

    def _make_records(self) -> None:
        databases, settings, doctor = self.databases, self.settings, self.cast.doctor
        patient = self._patient(
            LONG_NAME, mother_name=LONG_NAME, birth_date=date(1950, 3, 1), sex="FEMALE",
            phone="11 5555-0101", email=f"{'endereco' * 6}@example.org",
        )  # fmt: skip
        with databases.session(Principal.STAFF) as session:
            for substance, severity in (("Dipirona", "SEVERE"), ("Látex", None)):
                create_allergy(
                    session, doctor.actor, self.cipher, patient, NewAllergy(substance, "Urticária", severity)
                )
        record = write(databases, settings, doctor, patient, title="Retorno", priority="CRITICAL", **CONTENT)
        closed = write(databases, settings, doctor, patient, title=f"Consulta {LONG_WORD}", priority="LOW", **CONTENT)
        inactive = write(databases, settings, doctor, patient, title="Escrito duas vezes", **CONTENT)
        write(databases, settings, doctor, patient, title="Sigilosa", restricted=True, priority="HIGH", **CONTENT)
        write(databases, settings, doctor, patient, title="Exame trazido", amends_id=record, notes="Anexo.")
        gone = self._patient("Inativa da Silva")
        self.ids |= {"patient": str(patient), "record": str(record), "closed": str(closed), "inactive": str(inactive)}
        self.ids |= {"gone": str(gone), "word": self.word}
        self.edit_record(treatment="Losartana 100 mg uma vez ao dia.")
        with databases.session(Principal.STAFF) as session:
            close_record(session, doctor.actor, self.cipher, closed)
            inactivate_record(session, doctor.actor, self.cipher, inactive, reason="aberto duas vezes")
            over = {"deleted_at": datetime.now(UTC), "deleted_by": doctor.id, "deletion_reason": "duplicada"}
            session.execute(update(Patient).where(Patient.id == gone).values(over))

    def _make_visits(self) -> None:
        with self.databases.session(Principal.STAFF) as session:
            for name, reason, priority in (
                ("visit", f"Tontura {LONG_WORD}", "CRITICAL"), ("triaged", "Tosse", "LOW")
            ):  # fmt: skip
                patient = self._patient("Otávio da Espera")
                new = NewVisit(patient, reason, priority)
                visit = create_visit(session, self.cast.reception.actor, self.cipher, new)[0]
                self.ids[name] = str(visit.id)
            visit.arrived_at -= timedelta(hours=5)

    def _make_emergencies(self) -> None:
        cast, databases, patient = self.cast, self.databases, self.id("patient")
        ended = make_grant(databases, cast.doctor2, patient, reason=f"EMERGENCY: Dor no peito. {LONG_WORD}")
        running = make_grant(databases, cast.nurse2, patient, minutes_left=25)
        alert = make_alert(databases, cast.doctor2)
        self.ids |= {"grant": str(ended), "running": str(running), "alert": str(alert)}
        with databases.session(Principal.STAFF) as session:
            for person in (cast.doctor, cast.admin):
                session.add(
                    Notification(user_id=person.id, kind="patient.break_glass", patient_id=patient, subject_id=ended)
                )

    def _make_drafts(self) -> None:
        """One that goes on, and one of a record that its writer may change no more."""
        cast, soon = self.cast, datetime.now(UTC) + timedelta(days=14)
        with self.databases.session(Principal.STAFF) as session:
            version = session.get_one(MedicalRecord, self.id("record")).version
            for name, person, record_id in (
                ("draft", cast.doctor, None), ("lost_draft", cast.doctor2, self.id("record"))
            ):  # fmt: skip
                draft = Draft(
                    id=new_id(), user_id=person.id, patient_id=self.id("patient"), record_id=record_id,
                    base_version=version if record_id else None, expires_at=soon,
                    content={"values": {"notes": "Oriento caminhada."}, "own": {"notes": "Oriento caminhada."}},
                )  # fmt: skip
                session.add(draft)
                self.ids[name] = str(draft.id)

    def _make_users(self) -> None:
        databases, cast = self.databases, self.cast
        user = make_person(databases, Role.ADMIN, f"Helena {LONG_WORD}")
        self.ids |= {"user": str(user.id), "token": str(user.token_id)}
        asked = {
            "id": new_id(), "user_id": user.id, "role": Role.DOCTOR.value, "reason": "começa em dezembro",
            "requested_by": cast.auditor.id,
        }  # fmt: skip
        with databases.session(Principal.STAFF) as session:
            session.execute(insert(RoleRequest).values(**asked))
            session.execute(update(User).where(User.id == self.must_change.id).values(must_change_password=True))
            create_user(
                session, SYSTEM, self.cipher, email=self.login, full_name="Ana Moura", roles=("DOCTOR", "ADMIN"),
                password=PASSWORD,
            )  # fmt: skip
            for outcome, bucket in (("refused", "api"), ("near", "pages")):
                values = {"user_id": user.id, "route": "/api/medical-records/<uuid:record_id>", "quota": "20/60s"}
                session.execute(
                    insert(RateLimitLog).values(id=new_id(), bucket=bucket, outcome=outcome, ip="203.0.113.9", **values)
                )
        self.ids |= {"request": str(asked["id"]), "link": self._link_of(user)}

    def _link_of(self, person: Person) -> str:
        """The secret of a link to choose a password, as the worker makes it; nobody mails it."""
        with self.databases.session(Principal.STAFF) as session:
            request_link(session, SYSTEM, person.id, "reset")
        while True:
            with self.databases.session(Principal.WORKER) as session:
                claimed = claim_link(session)
                assert claimed is not None
                note_outcome(session, claimed, None)
            if claimed.user_id == person.id:
                return claimed.secret

    def _make_imports(self) -> None:
        now = datetime.now(UTC)
        with self.databases.session(Principal.WORKER) as session:
            done, running = (
                ImportJob(id=new_id(), state=state, format="csv", source_digest=secrets.token_bytes(32), **values)
                for state, values in (
                    ("DONE", {"total": 90, "read": 90, "created": 80, "rejected": 10, "finished_at": now,
                              "options": {"files": ["a" * 90 + ".csv"]}}),
                    ("RUNNING", {"total": 90, "read": 20, "heartbeat_at": now}),
                )
            )  # fmt: skip
            session.add_all([done, running])
            session.flush()
            session.add_all(
                ImportReject(
                    id=new_id(), job_id=done.id, file="a" * 90 + ".csv", line=line, pointer="birth_date",
                    reason="not a date that exists",
                )
                for line in range(10)
            )  # fmt: skip
        self.ids |= {"job": str(done.id), "running_job": str(running.id)}

    def _make_backups(self) -> None:
        """A good one, one whose drill failed, one that failed and one that is being made."""
        nothing = {"manifest": None, "name": None, "size": None, "verified_at": None}
        self.ids |= {
            "backup": str(make_backup(self.databases, requested_by=self.cast.admin.id, origin="REQUESTED")),
            "failed_backup": str(
                make_backup(self.databases, state="FAILED", failure="The store failed: no space left.", **nothing)
            ),
            "running_backup": str(
                make_backup(
                    self.databases, state="RUNNING", finished_at=None, stage="database", done=40_000_000,
                    total=100_000_000, **nothing,
                )
            ),
        }  # fmt: skip
        make_backup(self.databases, state="DONE", verified_at=None, failed_drill="The dump is damaged.")
        make_drill_key(self.databases)

    def _make_background_work(self) -> None:
        """Work that failed, some of it sent again since, a timed job that ran twice, and a trail found not intact."""
        now = datetime.now(UTC)
        report = Report()
        report.add(problem_at("changed", 1_234_567, str(new_id())))
        with self.databases.session(Principal.WORKER) as session:
            note_findings(session, report)
        self.ids["letter"] = str(make_dead_letter(self.databases, "mail.send", error="SoftTimeLimitExceeded"))
        make_dead_letter(self.databases, CLEANUP, slot=now, attempts=1_234, error="Error" * 9)
        with self.databases.session(Principal.WORKER) as session:
            finish_run(session, CLEANUP, now, "success", 1_234, dict.fromkeys((rule.table for rule in RULES), 1_234))
            finish_run(session, CLEANUP, now - timedelta(hours=1), "failure", None)
        with self.databases.session(Principal.STAFF) as session:
            sent = {"retried_at": now + timedelta(minutes=1), "retried_by": self.cast.admin.id}
            session.execute(update(DeadLetter).where(DeadLetter.id == self.id("letter")).values(sent))
