"""Who wrote something, as a reader may know them: name and council number, never the account."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import User


@dataclass(frozen=True, slots=True)
class Author:
    id: uuid.UUID
    name: str
    council: str | None  # CRM-UF or COREN-UF number

    def shown(self) -> dict[str, str | None]:
        """The ``author`` member of a representation."""
        return {"id": str(self.id), "name": self.name, "council": self.council}


def authors_of(session: Session, user_ids: Iterable[uuid.UUID | None]) -> dict[uuid.UUID, Author]:
    """Those of ``user_ids`` that exist, in one query. Selects only columns every role may see."""
    wanted = {user_id for user_id in user_ids if user_id is not None}
    if not wanted:
        return {}
    rows = session.execute(select(User.id, User.full_name, User.council).where(User.id.in_(wanted)))
    return {row.id: Author(row.id, row.full_name, row.council) for row in rows}


def author_of(session: Session, user_id: uuid.UUID) -> Author:
    return authors_of(session, [user_id])[user_id]
