"""A made-up patient's sources, as a gatherer hands them over."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from services.ai_prompts.inputs import Inputs, Source
from services.pseudonyms import Pseudonyms

WHEN = datetime(2026, 5, 3, 14, 30, tzinfo=UTC)


def record(ref: str, at: datetime = WHEN, **fields: str) -> Source:
    return Source(ref, "record", uuid.uuid5(uuid.NAMESPACE_OID, ref), 1, at, {"kind": "CONSULTATION"} | fields)


def allergy(ref: str, substance: str, severity: str = "SEVERE", reaction: str = "Anafilaxia") -> Source:
    fields = {"substance": substance, "severity": severity, "reaction": reaction}
    return Source(ref, "allergy", uuid.uuid5(uuid.NAMESPACE_OID, ref), None, WHEN, fields)


SOURCES = (
    record(
        "R1", title="Retorno de hipertensão", diagnosis="Hipertensão arterial sistêmica", cid10Codes="I10",
        treatment="Losartana 50 mg 12/12 h.", notes="Maria refere bem-estar. PA 150/90 mmHg, FC 72 bpm.",
    ),
    record(
        "R2", datetime(2025, 12, 1, 9, tzinfo=UTC), title="Diabetes", diagnosis="Diabetes mellitus tipo 2",
        cid10Codes="E11.9", treatment="Metformina 850 mg 2x ao dia.", notes="Glicemia 182 mg/dL em 28/11/2025.",
    ),
    allergy("R3", "Penicilina"),
)  # fmt: skip


def inputs(use: str = "SUMMARY", **changes: Any) -> Inputs:
    return replace(Inputs(use, SOURCES, age=58, sex="FEMALE"), **changes)


def table() -> Pseudonyms:
    made = Pseudonyms(shift_days=-100)
    made.known("person", "Maria Aparecida Ferreira")
    made.known("cpf", "52998224725")
    return made
