"""How a CID-10 code is written, and which release of the table is in force."""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Cid10Release

# With or without its point. An X in the fourth place fills what has no subcategory: I10X is I10 (SIM's way of writing).
WRITTEN = re.compile(r"([A-Z]\d{2})(?:\.?(?:(\d)|X))?")


def canonical(code: str) -> str:
    """``e119`` → ``E11.9``, ``I10X`` → ``I10``: as the table writes it. What is no code of its shape stays as it is."""
    found = WRITTEN.fullmatch(code.strip().upper())
    if found is None:
        return code
    return f"{found[1]}.{found[2]}" if found[2] else found[1]


def release_in_force(session: Session) -> Cid10Release | None:
    """The release that codes are looked up in; None where nobody brought one."""
    return session.scalar(select(Cid10Release).where(Cid10Release.in_force))
