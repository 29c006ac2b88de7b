"""Sessions of people in a browser, without the half second that checking a password takes on purpose."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, update

from config import Principal
from models import Session as SessionRow
from models.engine import Databases
from services.audit_event import Origin
from services.session_start import start_session
from tests.factories.cast import Person


def open_session(databases: Databases, person: Person, *, ip: str = "127.0.0.1", stepped_up: bool = False) -> str:
    """The secret that the session cookie carries; ``stepped_up``: of somebody who typed their password again, and is
    not asked once more while a module's tests go on."""
    with databases.session(Principal.ANONYMOUS) as session:
        started = start_session(session, Origin(ip=ip), person.id, person.actor.role)
        if stepped_up:
            its_row = update(SessionRow).where(SessionRow.id == started.session_id)
            session.execute(its_row.values(stepped_up_at=func.now() + timedelta(hours=1)))
    return started.secret
