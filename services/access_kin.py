"""Is the patient of the reader's family, or a colleague? Looked at for what was read from outside the care team.

A family name says something where few have it: the fifty commonest of Brazil say nothing, nor does one that many of
the clinic's patients have.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.text import fold

WORD = re.compile("[a-z]+")
# Folded. Their order does not matter, and that a rarer one is missing costs an alert that is reviewed as a false alarm.
COMMON = frozenset(
    WORD.findall(
        """
        silva santos oliveira souza sousa rodrigues ferreira alves pereira lima gomes costa ribeiro martins carvalho
        almeida lopes soares fernandes vieira barbosa rocha dias nascimento andrade moreira nunes marques machado mendes
        freitas cardoso ramos goncalves santana teixeira araujo pinto correa correia castro campos reis cruz
        monteiro batista melo borges barros azevedo
        """
    )
)
# Particles, and what tells generations of one name apart.
NO_NAMES = frozenset(
    WORD.findall("da das de di do dos du e filha filho filhos junior jr neta neto segundo sobrinha sobrinho")
)
# In a small clinic one family is a large share of all patients: up to so many who have it, a name stays a family's.
FEW = 5

NAMES = text(
    """
    SELECT u.id AS user_id, u.full_name AS reader, p.id AS patient_id, p.full_name AS patient
    FROM unnest(CAST(:readers AS uuid[]), CAST(:patients AS uuid[])) AS pair (user_id, patient_id)
    JOIN users u ON u.id = pair.user_id JOIN patients p ON p.id = pair.patient_id
    """
)
# Among how many patients the name occurs, answered by the index over names.
RARE = text(
    """
    SELECT word FROM unnest(CAST(:words AS text[])) AS w (word)
    WHERE (
        SELECT count(*) FROM patients p
        WHERE p.deleted_at IS NULL AND p.search_names @@ plainto_tsquery('simple', w.word)
    ) <= greatest(:few, (SELECT count(*) FROM patients WHERE deleted_at IS NULL) * CAST(:percent AS numeric) / 100)
    """
)
# Somebody of the staff, by their account's patient, their CPF's blind index or their full name.
COLLEAGUES = text(
    """
    SELECT p.id FROM patients p WHERE p.id = ANY (CAST(:patients AS uuid[])) AND EXISTS (
        SELECT FROM users u WHERE u.disabled_at IS NULL AND (
            u.patient_id = p.id OR u.cpf_index = p.cpf_index OR sigilo_fold(u.full_name) = sigilo_fold(p.full_name)
        ) AND EXISTS (SELECT FROM user_roles r WHERE r.user_id = u.id AND r.role <> 'PATIENT')
    )
    """
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Somebody who read, and whose data."""

    user_id: uuid.UUID
    patient_id: uuid.UUID


def family_names(full_name: str) -> frozenset[str]:
    """What in a name may be a family's: all but the first word, particles and the commonest, folded."""
    _, *rest = WORD.findall(fold(full_name)) or [""]
    return frozenset(rest) - COMMON - NO_NAMES


def relatives(session: Session, pairs: Iterable[Pair], *, percent: int) -> set[Pair]:
    """Those of ``pairs`` who share a family name that at most ``percent`` of the patients have."""
    wanted = list(pairs)
    given = {"readers": [pair.user_id for pair in wanted], "patients": [pair.patient_id for pair in wanted]}
    shared: dict[Pair, frozenset[str]] = {
        Pair(row.user_id, row.patient_id): family_names(row.reader) & family_names(row.patient)
        for row in session.execute(NAMES, given)
    }
    words = sorted(frozenset[str]().union(*shared.values()))
    if not words:
        return set()
    found = session.scalars(RARE, {"words": words, "percent": percent, "few": FEW})
    rare: Sequence[Any] = found.all()
    return {pair for pair, names in shared.items() if names.intersection(rare)}


def colleagues(session: Session, pairs: Iterable[Pair]) -> set[Pair]:
    """Those of ``pairs`` whose patient works here, the reader themselves included."""
    wanted = list(pairs)
    found = set(session.scalars(COLLEAGUES, {"patients": list({pair.patient_id for pair in wanted})}))
    return {pair for pair in wanted if pair.patient_id in found}
