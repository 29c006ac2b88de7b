"""The SQL of record reads: what a page's row is, and how it is shown through the reader's mask."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from models.user import Role
from services.masking import SEES_RESTRICTED, role_relation
from services.masking_sql import inside_rowwise, inside_setwise, sql_mask
from services.record_fields import sql_status

PATIENT, AUTHOR = "r.patient_id", "r.author_id"
# Who wrote ``s``, as json. At most one, which the planner is told so that it may remember what it found.
AUTHOR_SHOWN = """(
    SELECT row_to_json(w) AS shown FROM (
        SELECT u.id, u.full_name AS name, u.council FROM users u WHERE u.id = s.author_id
    ) w LIMIT 1
)"""


def inside(role: Role, *, setwise: bool = False) -> str:
    """SQL boolean over ``medical_records r``: does the reader see this record as its care team does?"""
    if not role.is_clinical:
        return "FALSE"
    return inside_setwise(PATIENT, AUTHOR) if setwise else inside_rowwise(PATIENT, AUTHOR)


def sees_caption(role: Role) -> str:
    """SQL boolean over rows with ``inside``: are priority and its like clear (the record is not restricted, or
    the reader may see restricted ones)? Filters on a masked field must not find what they would betray."""
    if role.is_clinical:
        return "(r.inside OR NOT r.restricted)"
    return "TRUE" if role_relation(role, in_team=False) in SEES_RESTRICTED else "(NOT r.restricted)"


def columns(role: Role, author: str = AUTHOR_SHOWN) -> dict[str, str]:
    """API name → SQL over ``s`` (a medical record with ``inside``), in the order of the representation."""
    mask = sql_mask("record", role)
    return {
        "id": "s.id",
        "patientId": "s.patient_id",
        "visitId": "s.visit_id",
        "kind": mask.field("kind", "s.kind"),
        "title": mask.field("title", "s.title"),
        "diagnosis": mask.field("diagnosis", "s.diagnosis"),
        "treatment": mask.field("treatment", "s.treatment"),
        "notes": mask.field("notes", "s.notes"),
        "cid10Codes": mask.field("cid10Codes", "s.cid10_codes"),
        "priority": mask.field("priority", "s.priority"),
        "restricted": mask.field("restricted", "s.restricted"),
        "occurredAt": mask.field("occurredAt", "s.occurred_at"),
        "status": sql_status("s"),
        "version": "s.version",
        "amendsId": "s.amends_id",
        "author": mask.field("author", author),
        "createdAt": "s.created_at",
        "updatedAt": "s.updated_at",
        "deletedAt": "s.deleted_at",
        "privacy": mask.privacy(),
    }


@lru_cache(maxsize=16)
def representation(role: Role) -> str:
    """SQL json: the record as the API shows it to ``role``, but for its times, which ``in_utc`` finishes."""
    return f"(SELECT row_to_json(v) FROM (SELECT {_selected(columns(role))}) v)"


@lru_cache(maxsize=16)
def represented(role: Role) -> str:
    """SQL joins after ``FROM … s``: with them ``row_to_json(v)`` is the same of each of many rows, in less time. Most
    are by the same few authors, each of whom the planner looks up once only where the look-up is a join."""
    return f"""
        LEFT JOIN LATERAL {AUTHOR_SHOWN} a ON TRUE
        CROSS JOIN LATERAL (SELECT {_selected(columns(role, "a.shown"))}) v
    """


def _selected(shown: dict[str, str]) -> str:
    return ", ".join(f'{expression} AS "{name}"' for name, expression in shown.items())


TIMES = ("occurredAt", "createdAt", "updatedAt", "deletedAt")
_NAMES = tuple(columns(Role.RECEPTION))
_ENDINGS = tuple(
    (f'+00:00","{after}":'.encode(), f'Z","{after}":'.encode()) for name, after in pairwise(_NAMES) if name in TIMES
)


def in_utc(data: bytes) -> bytes:
    """``data`` with its times written as elsewhere, ``…Z`` for ``…+00:00``.

    PostgreSQL writes times into JSON ten times faster than it formats them. Only what stands right before the
    next key is touched, and no text of a record can: a quotation mark inside a JSON string is escaped.
    """
    for written, wanted in _ENDINGS:
        data = data.replace(written, wanted)
    return data
