"""What the record pages ask of services: names, what may be done, and what differs between two versions."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from config import Settings
from models.engine import Databases
from services.errors import Forbidden
from services.patient_names import name_patients
from services.record_compare import compare_versions
from tests.factories.cast import Cast, make_patient
from tests.services.test_query_counts import statements_sent


def test_names_come_in_one_statement_and_the_social_name_leads(
    databases: Databases, settings: Settings, cast: Cast
) -> None:
    called = make_patient(databases, settings, "Paulo Novaes", social_name="Vanessa Porto")
    ids = [str(called), str(cast.stranger_id), str(uuid.uuid4()), str(called)]
    found: list[dict[str, dict[str, Any]]] = []
    ask = lambda: found.append(name_patients(databases, cast.reception.actor, ids))  # noqa: E731
    assert statements_sent(databases, ask) == 1
    assert found == [
        {
            str(called): {"name": "Vanessa Porto", "birthDate": None},
            str(cast.stranger_id): {"name": "João Estranho da Silva", "birthDate": None},
        }
    ]
    assert statements_sent(databases, lambda: name_patients(databases, cast.doctor.actor, [])) == 0


def test_names_are_not_for_auditors_and_a_patients_only_their_own(databases: Databases, cast: Cast) -> None:
    both = [str(cast.patient_id), str(cast.stranger_id)]
    with pytest.raises(Forbidden):
        name_patients(databases, cast.auditor.actor, both)
    assert set(name_patients(databases, cast.patient.actor, both)) == {str(cast.patient_id)}


def version(masked: tuple[str, ...] = (), **content: Any) -> dict[str, Any]:
    names = ("kind", "title", "diagnosis", "treatment", "notes", "cid10Codes", "priority", "restricted", "occurredAt")
    shown = dict.fromkeys((*names, "deletedAt")) | content
    return shown | dict.fromkeys(masked) | {"privacy": {"maskedFields": list(masked), "reason": None}}


def test_words_are_compared_in_texts_and_codes_and_values_elsewhere() -> None:
    before = version(treatment="Losartana 50 mg", cid10Codes=["I10"], priority="NORMAL")
    after = version(treatment="Losartana 100 mg", cid10Codes=["I10", "E11.9"], priority="HIGH")
    changes = {change.name: change for change in compare_versions(before, after)}
    assert ("removed", "50") in changes["treatment"].parts and ("added", "100") in changes["treatment"].parts
    assert changes["cid10Codes"].parts[0] == ("same", "I10")
    assert (changes["priority"].before, changes["priority"].after, changes["priority"].parts) == ("NORMAL", "HIGH", ())
    assert {name for name, change in changes.items() if change.is_changed} == {"treatment", "cid10Codes", "priority"}


@pytest.mark.parametrize("sides", [((), ("notes",)), (("notes",), ()), (("notes",), ("notes",))])
def test_what_is_masked_at_either_version_is_masked(sides: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    before, after = version(sides[0], notes="um"), version(sides[1], notes="dois")
    change = next(each for each in compare_versions(before, after) if each.name == "notes")
    assert change.is_masked and not change.is_changed
    assert (change.before, change.after, change.parts) == (None, None, ())
