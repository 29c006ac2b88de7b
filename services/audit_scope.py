"""Which sealed events are about given patients: the ones that name the patient, and lists that named theirs.

A list is one event over many patients, and a refused attempt names what was asked for and no patient: so a
patient's events are found by the ids of their rows too.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from services.access import CURRENT_MEMBER

# Up to so many ids the index over listed ids is asked for them; beyond, nearly every list is about somebody
# of them, and looking at each event from the newest on finds a page sooner.
MOST_IDS = 1_000

TEAM_OF = f"SELECT m.patient_id FROM care_team_members m WHERE m.user_id = %s AND {CURRENT_MEMBER}"
# The array goes back as the text it came in: thousands of ids would be read and written for nothing in between. Text is
# made of as many as are asked for only, and the planner does not see the patients: weighing hundreds of them takes it
# longer than finding their rows. Records twice, for each half has an index of its own.
_THEIRS = "patient_id IN (SELECT unnest(%(patients)s::uuid[]))"
ROWS_OF = f"""
    SELECT CASE WHEN count(*) < %(limit)s THEN array_agg(id)::text END, count(*) FROM (
        SELECT unnest(%(patients)s::uuid[]) AS id
        UNION ALL SELECT id FROM medical_records WHERE deleted_at IS NULL AND {_THEIRS}
        UNION ALL SELECT id FROM medical_records WHERE deleted_at IS NOT NULL AND {_THEIRS}
        UNION ALL SELECT id FROM visits WHERE {_THEIRS}
        UNION ALL SELECT id FROM allergies WHERE {_THEIRS}
        LIMIT %(limit)s
    ) named
"""
OWNERS = """
    SELECT id, patient_id FROM medical_records WHERE id = ANY (%(ids)s)
    UNION ALL SELECT id, patient_id FROM visits WHERE id = ANY (%(ids)s)
    UNION ALL SELECT id, patient_id FROM allergies WHERE id = ANY (%(ids)s)
    UNION ALL SELECT id, id FROM patients WHERE id = ANY (%(ids)s)
"""
BY_PATIENT = "t.patient_id = ANY (%(scope_patients)s::uuid[])"
BY_IDS = (
    "t.patient_id IS NULL AND t.entity_id = ANY (%(scope_ids)s::uuid[])",
    "t.patient_id IS NULL AND t.entity_ids && %(scope_ids)s::uuid[]",
)
# The same for each event that is looked at: the patients in a hash table, made once, whatever the planner knows.
# Reading the trail names events, which are no rows of a patient; whoever reads it often would have theirs looked up
# each time.
MINE = "WITH mine AS MATERIALIZED (SELECT unnest(%(scope_patients)s::uuid[]) AS id)"
BY_MINE = (
    "t.patient_id IN (SELECT id FROM mine)",
    """t.patient_id IS NULL AND t.entity_type IS DISTINCT FROM 'audit_event' AND EXISTS (
        SELECT FROM unnest(array_append(t.entity_ids, t.entity_id)) AS named (id)
        WHERE named.id IN (SELECT id FROM mine)
        OR (SELECT r.patient_id FROM medical_records r WHERE r.id = named.id) IN (SELECT id FROM mine)
        OR (SELECT v.patient_id FROM visits v WHERE v.id = named.id) IN (SELECT id FROM mine)
        OR (SELECT a.patient_id FROM allergies a WHERE a.id = named.id) IN (SELECT id FROM mine)
    )""",
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Conditions over events ``t``, any of which puts one in scope, and their parameters. ``is_indexed``: an index
    answers each of them, asked one at a time; else they are for looking at event after event, in a statement that
    begins with ``MINE``."""

    patients: frozenset[uuid.UUID]
    alternatives: tuple[str, ...]
    is_indexed: bool
    parameters: dict[str, Any]

    @property
    def condition(self) -> str:
        return f"(({') OR ('.join(self.alternatives)}))"


def team_of(connection: psycopg.Connection[Any], user_id: uuid.UUID) -> list[uuid.UUID]:
    """The patients whose care team the user is on right now."""
    return [row[0] for row in connection.execute(TEAM_OF, (user_id,))]


def scope_of(connection: psycopg.Connection[Any], patients: Sequence[uuid.UUID], *, most_ids: int = MOST_IDS) -> Scope:
    """Events about ``patients``, as the auditor role."""
    row = connection.execute(ROWS_OF, {"patients": list(patients), "limit": most_ids + 1}).fetchone()
    ids, count = row or (None, 0)
    is_indexed = count <= most_ids
    return Scope(
        patients=frozenset(patients),
        alternatives=(BY_PATIENT, *BY_IDS) if is_indexed else BY_MINE,
        is_indexed=is_indexed,
        # As one text: quoted id by id, hundreds of them in five places would take longer than the query.
        parameters={"scope_patients": f"{{{','.join(map(str, patients))}}}", "scope_ids": ids or "{}"},
    )


def owners_of(connection: psycopg.Connection[Any], ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Id of a record, visit, allergy or patient → whose it is. Others are left out."""
    return dict(connection.execute(OWNERS, {"ids": list(ids)}).fetchall())
