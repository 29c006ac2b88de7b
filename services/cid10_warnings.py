"""What is odd about a CID-10 code for a patient. Said, and never a reason to refuse: who treats knows more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Cid10Code
from services.cid10_codes import canonical, release_in_force


class Oddity(StrEnum):
    """The values are stable: pages have a sentence for each."""

    OTHER_SEX = "other-sex"
    """The table has this code for the other sex only."""
    NO_CAUSE_OF_DEATH = "no-cause-of-death"
    """The patient died, and the table has this as an unlikely cause."""
    UNKNOWN = "unknown"
    """The table in force, which is a whole one, has no such code."""


@dataclass(frozen=True, slots=True)
class CodeWarning:
    """``code`` as it was written."""

    code: str
    oddity: Oddity


def code_warnings(
    session: Session, codes: Iterable[str], *, sex: str | None = None, is_deceased: bool = False
) -> list[CodeWarning]:
    """What is odd about ``codes``, in their order; nothing where there is no table. ``sex``: as patients have it."""
    written = {code: canonical(code) for code in codes}
    release = release_in_force(session) if written else None
    if release is None:
        return []
    found = session.execute(
        select(Cid10Code.code, Cid10Code.sex, Cid10Code.causes_death).where(Cid10Code.code.in_(set(written.values())))
    )
    known = {row.code: row for row in found}
    warnings = []
    for code, wanted in written.items():
        row = known.get(wanted)
        if row is not None:
            odd = oddities(sex, is_deceased, code_sex=row.sex, causes_death=row.causes_death)
            warnings += [CodeWarning(code, oddity) for oddity in odd]
        elif release.origin != "DEMO":
            warnings.append(CodeWarning(code, Oddity.UNKNOWN))
    return warnings


def oddities(
    sex: str | None, is_deceased: bool, *, code_sex: str | None, causes_death: bool
) -> tuple[Oddity, ...]:
    """Of a code in the table. Somebody whose sex is not stated, or is another, is never at odds with a code."""
    odd = []
    if code_sex is not None and sex in ("FEMALE", "MALE") and sex != code_sex:
        odd.append(Oddity.OTHER_SEX)
    if is_deceased and not causes_death:
        odd.append(Oddity.NO_CAUSE_OF_DEATH)
    return tuple(odd)
