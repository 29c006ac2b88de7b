"""Find a user that an administrator acts on: taken for the change, and never the administrator themselves."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import User
from models.user import IMPORT_USER_ID
from services.actor import Actor
from services.errors import Forbidden, NotFound
from services.permissions import Permission

NO_USER = "There is no such user."


def find_user(session: Session, actor: Actor, user_id: uuid.UUID, *, lock: bool = False) -> User:
    """Raises Forbidden (not an admin), NotFound. The author of imports is no user to be managed."""
    actor.require(Permission.USER_MANAGE)
    wanted = select(User).where(User.id == user_id, User.id != IMPORT_USER_ID)
    if lock:
        wanted = wanted.with_for_update(of=User).execution_options(populate_existing=True)
    user = session.scalars(wanted).one_or_none()
    if user is None:
        raise NotFound(NO_USER)
    return user


def find_other_user(session: Session, actor: Actor, user_id: uuid.UUID, refusal: str) -> User:
    """The user, locked. Raises Forbidden with ``refusal`` for oneself (SBIS NGS1.03: nobody acts on themselves)."""
    user = find_user(session, actor, user_id, lock=True)
    if user.id == actor.user_id:
        raise Forbidden(refusal)
    return user
