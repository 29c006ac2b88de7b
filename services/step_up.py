"""The password again, before what one stolen session must not be able to do (SECURITY 6).

For ten minutes afterwards the session opens it (services/authenticate.py). The session's secret is new from then on
(SECURITY 1): who copied the old one is out.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models import Session as SessionRow
from models import User
from services.actor import Actor
from services.audit_event import Event, record
from services.authenticate import secret_hash
from services.login_failures import Attempt, take_back
from services.password import verify_password
from services.session_start import SECRET_BYTES


def step_up(session: Session, actor: Actor, attempt: Attempt, password: str) -> str | None:
    """The session's new secret, for its cookie; None when the password is wrong, which is for the caller to commit.

    The caller has counted ``attempt``. As the anonymous principal, which alone sees password hashes.
    """
    stored = session.scalar(select(User.password_hash).where(User.id == actor.user_id))
    if actor.session_id is None or not verify_password(stored, password):
        record(session, actor, Event("session.step_up", "user", actor.user_id, outcome="failure"))
        return None
    secret = secrets.token_urlsafe(SECRET_BYTES)
    session.execute(
        update(SessionRow)
        .where(SessionRow.id == actor.session_id, SessionRow.ended_at.is_(None))
        .values(secret_hash=secret_hash(secret), stepped_up_at=datetime.now(UTC))
    )
    record(session, actor, Event("session.step_up", "user", actor.user_id))
    take_back(session, attempt)
    return secret
