"""A user's own account, as they may see it themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import User
from services.actor import Actor
from services.permissions import Permission


@dataclass(frozen=True, slots=True)
class Account:
    """Who one is to the clinic. ``password_changed_at`` is None while the first password stands."""

    name: str
    email: str
    council: str | None
    password_changed_at: datetime | None


def get_account(session: Session, actor: Actor) -> Account:
    """The caller's own. For the anonymous principal: a patient's role sees no e-mail address. Raises Forbidden."""
    actor.require(Permission.SELF)
    row = session.execute(
        select(User.full_name, User.email, User.council, User.password_changed_at).where(User.id == actor.user_id)
    ).one()
    return Account(*row)
