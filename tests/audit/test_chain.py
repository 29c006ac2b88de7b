"""The canonical form and the chain, re-implemented from the docstring by somebody who has only a JSON library."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import new_id
from models.engine import Databases
from services.audit_chain import COLUMNS, GENESIS, canonical, link, rfc3339
from services.audit_event import EVENT_COLUMNS
from tests.audit.trail import as_superuser, drain_all, insert_rows, sealed, write_events


def independent(row: dict[str, Any]) -> bytes:
    """An event's canonical form from client types, with the standard library alone."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if isinstance(value, list):
            return [str(item) if isinstance(item, uuid.UUID) else item for item in value]
        return value if isinstance(value, int) else str(value)

    members = {name: plain(value) for name, value in row.items() if value is not None and name != "hash"}
    return json.dumps(members, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def recomputed(trail: list[dict[str, Any]]) -> list[bytes]:
    hashes, head = [], bytes(32)
    for row in trail:
        head = hashlib.sha256(head + independent(row)).digest()
        hashes.append(head)
    return hashes


@pytest.mark.database
def test_a_third_party_recomputes_the_chain_from_its_description(trail: Databases, superuser: str) -> None:
    write_events(trail, 40)
    drain_all(trail, limit=9)
    kept = sealed(superuser)
    assert recomputed(kept) == [row["hash"] for row in kept]


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
ids = st.uuids()
moments = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
events = st.fixed_dictionaries(
    {
        "occurred_at": moments,
        "action": words,
        "outcome": st.sampled_from(["success", "refused", "failure"]),
        "actor_id": st.none() | ids,
        "actor_role": st.none() | words,
        "entity_type": st.none() | words,
        "entity_id": st.none() | ids,
        "entity_ids": st.none() | st.lists(ids, max_size=4),
        "patient_id": st.none() | ids,
        "from_version": st.none() | st.integers(-(2**31), 2**31 - 1),
        "to_version": st.none() | st.integers(-(2**31), 2**31 - 1),
        "changes": st.none() | st.lists(st.dictionaries(st.sampled_from("abcdefz"), st.none() | words, max_size=3)),
        "basis": st.none() | words,
        "basis_id": st.none() | ids,
        "ip": st.none() | st.ip_addresses().map(str) | st.just("::ffff:192.0.2.1"),
        "user_agent": st.none() | words,
        "request_id": st.none() | words,
        "session_id": st.none() | ids,
        "token_id": st.none() | ids,
    }
)


@pytest.mark.database
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(events, min_size=1, max_size=5))
def test_whatever_an_event_holds_its_form_is_the_same_for_everybody(
    trail: Databases, superuser: str, batch: list[dict[str, Any]]
) -> None:
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE audit_trail")
    insert_rows(trail, [{"id": new_id(), **event} for event in batch])
    drain_all(trail)
    kept = sealed(superuser)
    assert recomputed(kept) == [row["hash"] for row in kept]


def test_the_canonical_form_of_one_event_is_this() -> None:
    """A vector for other implementations."""
    row: dict[str, str | None] = dict.fromkeys(COLUMNS)
    row |= {
        "action": "medical_record.update",
        "changes": '[{"field": "notes", "before": null, "after": "dGVzdA"}]',
        "entity_ids": "{}",
        "id": "0190163d-8694-739b-aea5-966c26f8ad90",
        "ip": "203.0.113.7/32",
        "occurred_at": "2026-11-24 10:42:00.5+00",
        "outcome": "success",
        "sealed_at": "2026-11-24 10:42:01+00",
        "sequence": "1",
        "to_version": "2",
        "user_agent": 'a "quoted" \\ ção \x1f',
    }
    form = canonical([row[name] for name in COLUMNS])
    assert form.decode() == (
        '{"action":"medical_record.update","changes":[{"after":"dGVzdA","before":null,"field":"notes"}],'
        '"entity_ids":[],"id":"0190163d-8694-739b-aea5-966c26f8ad90","ip":"203.0.113.7",'
        '"occurred_at":"2026-11-24T10:42:00.500000Z","outcome":"success",'
        '"sealed_at":"2026-11-24T10:42:01.000000Z","sequence":1,"to_version":2,'
        '"user_agent":"a \\"quoted\\" \\\\ ção \\u001f"}'
    )
    assert link(GENESIS, form).hex() == hashlib.sha256(b"\0" * 32 + form).hexdigest()


def test_every_column_of_an_event_is_in_the_canonical_form() -> None:
    assert set(COLUMNS) == {*EVENT_COLUMNS, "sealed_at", "sequence"}


@pytest.mark.parametrize("odd", ["infinity", "0044-03-15 00:00:00+00 BC", "10000-01-01 00:00:00+00"])
def test_a_time_that_rfc_3339_can_not_write_is_left_as_it_is(odd: str) -> None:
    assert rfc3339(odd) == odd
