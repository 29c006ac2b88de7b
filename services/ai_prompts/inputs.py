"""What an answer may rest on, as its asker sees it: sources with the names that a model cites them by."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from services.pseudonyms import Pseudonyms

# What a priority may rest on besides sources; cited by these names.
COMPLAINT, SIGNS, AGE = "QUEIXA", "SINAIS", "IDADE"
TEXT_MAX = 1500  # characters of one field that a model reads
ALL_TEXTS_MAX = 12_000  # of all fields together: with its rules this fits into a context of 8192 tokens
ALLERGY_TEXTS_MAX = ALL_TEXTS_MAX // 4  # of these those of allergies, so that however many leave room for records
CUT = " […]"

KINDS = {
    "CONSULTATION": "consulta", "RETURN": "retorno", "EXAM": "exame", "PROCEDURE": "procedimento", "TRIAGE": "triagem",
    "EMERGENCY": "emergência", "ADDENDUM": "adendo", "OTHER": "outro registro",
}  # fmt: skip
SEXES = {"FEMALE": "feminino", "MALE": "masculino", "OTHER": "outro"}
SEX_WORDS = {"FEMALE": "mulher feminino senhora menina", "MALE": "homem masculino senhor menino"}
# From and to how many years, and what somebody of that age is called.
AGE_WORDS = (
    (0, 1, "lactente bebe"), (0, 11, "crianca"), (12, 17, "adolescente"), (18, 59, "adulto adulta"),
    (60, 150, "idoso idosa"),
)  # fmt: skip
# API name → Portuguese name in the data that a model reads, in their order.
FIELDS = {
    "title": "titulo", "reason": "motivo", "diagnosis": "diagnostico", "cid10Codes": "cid10", "treatment": "tratamento",
    "notes": "anotacoes", "substance": "substancia", "reaction": "reacao", "severity": "gravidade",
}  # fmt: skip
SEVERITIES = {"MILD": "leve", "MODERATE": "moderada", "SEVERE": "grave"}


@dataclass(frozen=True, slots=True)
class Source:
    """One thing that an answer may rest on. ``ref`` ("R1", "R2" …) is what a model cites; ``at`` in the clinic's time
    zone; ``fields`` API name → text as the asker sees it, masked ones left out; codes joined by ", "."""

    ref: str
    kind: str  # "record" | "visit" | "allergy"
    id: uuid.UUID
    version: int | None
    at: datetime | None
    fields: Mapping[str, str]

    @property
    def date(self) -> str:
        """The day as it is written in answers: a pseudonym where the source is hidden; empty where it has none."""
        return self.fields.get("date") or (f"{self.at:%d/%m/%Y}" if self.at else "")

    @property
    def name(self) -> str:
        """What it is, in Portuguese: ``consulta``, ``alergia`` …"""
        if self.kind == "record":
            return KINDS.get(self.fields.get("kind", ""), "registro")
        return {"visit": "atendimento", "allergy": "alergia"}[self.kind]

    def text(self) -> str:
        """All that a model was told of it, to look words and numbers up in."""
        return "\n".join([self.date, self.name, *self.told().values()])

    def told(self) -> dict[str, str]:
        """The fields that a model is told, as it reads them. What else is known of it ("priority": "NORMAL") is no
        word of the chart."""
        told = {name: self.fields[name] for name in FIELDS if self.fields.get(name)}
        return {name: SEVERITIES.get(text, text) if name == "severity" else text for name, text in told.items()}


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that one request hands over. ``text``: CID10's diagnosis as typed, PRIORITY's complaint; ``candidates``:
    (code, title) by our own search, best first; ``vital_signs``: as ``VitalSigns`` names them, in its units."""

    use: str  # "SUMMARY" | "CID10" | "PRIORITY"
    sources: tuple[Source, ...]
    age: int | None
    sex: str | None
    text: str | None = None
    candidates: tuple[tuple[str, str], ...] = ()
    vital_signs: Mapping[str, str] = field(default_factory=dict)
    entries: int = 0  # how many sources the asker may read; more than ``sources`` where some did not fit

    def source(self, ref: str) -> Source | None:
        return next((source for source in self.sources if source.ref == ref), None)


def prepared(inputs: Inputs, pseudonyms: Pseudonyms) -> Inputs:
    """The inputs as a model reads them: cut to what fits, identifiers hidden, days moved. The same every time."""
    return hidden(fitted(inputs), pseudonyms)


def fitted(inputs: Inputs) -> Inputs:
    """As many sources as fit, allergies first, severe ones before others, then the newest; one that is too long for the
    room that is left makes way for those that are not. Long texts are cut, which their end says."""
    room, room_of_allergies = ALL_TEXTS_MAX, ALLERGY_TEXTS_MAX
    kept: list[Source] = []
    for source in sorted(inputs.sources, key=_importance):
        fields = {name: cut(text) for name, text in source.fields.items() if text}
        size = sum(map(len, fields.values()))
        is_allergy = source.kind == "allergy"
        if size > (room_of_allergies if is_allergy else room):
            continue
        room -= size
        room_of_allergies -= size if is_allergy else 0
        kept.append(replace(source, fields=fields))
    order = {source.ref: number for number, source in enumerate(inputs.sources)}
    kept.sort(key=lambda source: order[source.ref])
    return replace(inputs, sources=tuple(kept), text=None if inputs.text is None else cut(inputs.text))


def hidden(inputs: Inputs, pseudonyms: Pseudonyms) -> Inputs:
    """The inputs without an identifier. Names, numbers and dates in any text become pseudonyms."""
    return replace(
        inputs,
        sources=tuple(_hidden(source, pseudonyms) for source in inputs.sources),
        text=None if inputs.text is None else pseudonyms.hide(inputs.text),
        vital_signs={name: pseudonyms.hide(value) for name, value in inputs.vital_signs.items()},
    )


def _hidden(source: Source, pseudonyms: Pseudonyms) -> Source:
    # A list of codes holds no identifier, and the name of a kind is ours.
    fields = {
        name: text if name in ("kind", "cid10Codes", "severity", "priority", "status") else pseudonyms.hide(text)
        for name, text in source.fields.items()
    }
    if source.at is None:
        return replace(source, fields=fields)
    fields["date"] = pseudonyms.hide(source.date)
    return replace(source, fields=fields, at=pseudonyms.moved(source.at))


def cut(text: str, longest: int = TEXT_MAX) -> str:
    """``text``, or its beginning up to a word's end and a sign that there was more."""
    if len(text) <= longest:
        return text
    return text[: longest - len(CUT)].rsplit(None, 1)[0] + CUT


def newest_first(sources: tuple[Source, ...], *kinds: str) -> list[Source]:
    """The sources of these kinds, newest first."""
    found = [source for source in sources if source.kind in kinds]
    return sorted(found, key=lambda source: -_stamp(source))


def patient_json(inputs: Inputs) -> dict[str, Any]:
    """What a model is told of the patient: an age in years in place of a birth date, and the sex."""
    known = {"idade_anos": inputs.age, "sexo": SEXES.get(inputs.sex or "")}
    return {name: value for name, value in known.items() if value is not None}


def patient_words(inputs: Inputs) -> str:
    """How a sentence may call the patient without a source: by sex and age, which the prompt has."""
    of_age = [word for low, high, word in AGE_WORDS if inputs.age is not None and low <= inputs.age <= high]
    return " ".join([SEX_WORDS.get(inputs.sex or "", ""), *of_age])


def source_json(source: Source) -> dict[str, str]:
    """A source as data for a model."""
    told = {"ref": source.ref, "tipo": source.name, "data": source.date}
    told |= {FIELDS[name]: text for name, text in source.told().items()}
    return {name: value for name, value in told.items() if value}


def as_content(data: Mapping[str, Any]) -> str:
    """Data as the JSON text that a prompt carries. Whatever a record says stands within a string of it."""
    return orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()


def to_json(inputs: Inputs) -> bytes:
    """The inputs to be kept (encrypted) until they are needed again."""
    return orjson.dumps(inputs)


def from_json(kept: bytes) -> Inputs:
    """What ``to_json`` kept."""
    data = orjson.loads(kept)
    sources = tuple(
        Source(
            **source
            | {
                "id": uuid.UUID(source["id"]),
                "at": None if source["at"] is None else datetime.fromisoformat(source["at"]),
            }
        )
        for source in data["sources"]
    )
    return Inputs(**data | {"sources": sources, "candidates": tuple(map(tuple, data["candidates"]))})


def _importance(source: Source) -> tuple[bool, int, float]:
    severities = list(SEVERITIES)[::-1]
    severity = source.fields.get("severity", "")
    rank = severities.index(severity) if severity in severities else len(severities)
    return source.kind != "allergy", rank, -_stamp(source)


def _stamp(source: Source) -> float:
    return source.at.timestamp() if source.at else 0.0
