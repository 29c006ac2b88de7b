"""Which administrator was told by mail how the installation stands, and for which morning."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class SystemDigest(Base):
    """The newest mail that one administrator is owed, or got."""

    __tablename__ = "system_digests"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    slot: Mapped[datetime]  # the morning it is of
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    sent_at: Mapped[datetime | None]
    failure: Mapped[str | None]
