"""The masking table as SQL, for reads whose JSON PostgreSQL builds.

Rendered from the same ``FIELDS`` that Python uses; ``tests/services/test_masking.py`` shows by property that both
agree. Everything here is constants of ours: values are bound by the caller.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from models.user import Role
from services.access import CURRENT_MEMBER
from services.masking import (
    RESTRICTED_VISIBLE,
    SEES_RESTRICTED,
    Mask,
    Visibility,
    hidden_in_past,
    mask_for,
    role_relation,
)

BREAK_GLASS = """
    SELECT FROM break_glass_grants g
    WHERE g.patient_id = {patient} AND g.user_id = %(me)s AND g.acting_role = %(role)s AND g.expires_at > now()
"""


def inside_rowwise(patient: str, author: str | None) -> str:
    """SQL: whether %(me)s is inside for one row, by index probes: right for a page of rows.

    Scalar subqueries, because the planner turns EXISTS into a hash of every patient the reader treats.
    """
    member = (
        f"(SELECT TRUE FROM care_team_members m WHERE m.patient_id = {patient} AND m.user_id = %(me)s "
        f"AND {CURRENT_MEMBER} LIMIT 1)"
    )
    broken = f"({BREAK_GLASS.format(patient=patient).replace('SELECT FROM', 'SELECT TRUE FROM')} LIMIT 1)"
    inside = f"coalesce({member}, {broken}, FALSE)"
    return inside if author is None else f"({author} = %(me)s OR {inside})"


def inside_setwise(patient: str, author: str | None) -> str:
    """The same, worked out once for all rows: right for a search that weighs many."""
    parts = [
        f"{patient} IN (SELECT m.patient_id FROM care_team_members m WHERE m.user_id = %(me)s AND {CURRENT_MEMBER})",
        f"{patient} IN (SELECT g.patient_id FROM break_glass_grants g WHERE g.user_id = %(me)s "
        "AND g.acting_role = %(role)s AND g.expires_at > now())",
    ]
    if author is not None:
        parts.insert(0, f"{author} = %(me)s")
    return "(" + " OR ".join(parts) + ")"


@dataclass(frozen=True)
class SqlMask:
    """The masks one role can meet over rows that have the columns ``inside`` and ``restricted``, visits ``past``."""

    cases: tuple[tuple[str, Mask], ...]  # (condition, mask); the last condition is TRUE

    def field(self, name: str, expression: str) -> str:
        """``expression`` where the field is clear, NULL elsewhere."""
        return self._choose(
            {
                condition: expression if mask.fields[name] is Visibility.CLEAR else "NULL"
                for condition, mask in self.cases
            }
        )

    def is_clear(self, name: str) -> str:
        """SQL boolean: whether this row's field is clear to the viewer."""
        return self._choose(
            {
                condition: "TRUE" if mask.fields[name] is Visibility.CLEAR else "FALSE"
                for condition, mask in self.cases
            }
        )

    def privacy(self) -> str:
        """SQL json: the ``privacy`` member."""
        return self._choose(
            {condition: f"'{json.dumps(mask.privacy())}'::json" for condition, mask in self.cases}
        )

    def tag(self) -> str:
        """SQL text: the mask's short name in an ETag, empty when all is clear."""
        return self._choose({condition: f"'{mask.tag}'" for condition, mask in self.cases})

    @staticmethod
    def _choose(by_condition: Mapping[str, str]) -> str:
        values = list(by_condition.items())
        while len(values) > 1 and values[-2][1] == values[-1][1]:
            del values[-2]  # the last one says the same
        if len(values) == 1:
            return values[0][1]
        branches = " ".join(f"WHEN {condition} THEN {value}" for condition, value in values[:-1])
        return f"CASE {branches} ELSE {values[-1][1]} END"


@lru_cache(maxsize=64)
def sql_mask(entity: str, role: Role, alias: str = "s") -> SqlMask:
    """The masks that acting as ``role`` meets; ``alias`` has the columns ``inside`` and ``restricted``, and for a
    visit ``past``."""
    relations = [(f"{alias}.inside", role_relation(role, in_team=True))] if role.is_clinical else []
    relations.append(("TRUE", role_relation(role, in_team=False)))
    cases = []
    for condition, relation in relations:
        restricting = entity in RESTRICTED_VISIBLE and relation not in SEES_RESTRICTED
        for restricted in (True, False) if restricting else (False,):
            for past in (True, False) if hidden_in_past(entity, relation) else (False,):
                met = [f"{alias}.{name}" for name, is_met in (("restricted", restricted), ("past", past)) if is_met]
                if condition != "TRUE":
                    met.insert(0, condition)
                mask = mask_for(entity, relation, restricted=restricted, past=past)
                cases.append((" AND ".join(met) or "TRUE", mask))
    return SqlMask(tuple(cases))
