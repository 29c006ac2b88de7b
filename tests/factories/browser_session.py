"""Sessions of people in a browser, without the half second that checking a password takes on purpose."""

from __future__ import annotations

from config import Principal
from models.engine import Databases
from services.audit_event import Origin
from services.session_start import start_session
from tests.factories.cast import Person


def open_session(databases: Databases, person: Person, *, ip: str = "127.0.0.1") -> str:
    """The secret that the session cookie carries."""
    with databases.session(Principal.ANONYMOUS) as session:
        return start_session(session, Origin(ip=ip), person.id, person.actor.role).secret
