"""List and search patients: one statement that finds the page and writes the read's event.

PostgreSQL finds and orders; documents are AES ciphertext to it, so Python decrypts them for the page's rows.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from models.engine import Databases
from models.text import fold
from models.user import Role
from services import cursor as cursors
from services.actor import Actor
from services.audit_event import Event
from services.audited_read import event_insert, event_parameters, read
from services.errors import FieldError, Invalid
from services.field_encryption import FieldCipher
from services.identifier_check import WHAT_IT_IS, normalize
from services.identifier_lookup import take_lookup
from services.patient_view import inside, represent, sql_row
from services.permissions import Permission
from services.record_list import JsonPage

WORDS_MAX = 10
WORD_MAX = 100  # characters; a longer word is searched by its beginning
QUERY_MAX = 200
# The database's parser splits words at ASCII punctuation; other scripts' letters stay together.
SEPARATORS = re.compile(r"[\x00-\x2f\x3a-\x60\x7b-\x7f\s]+")


@dataclass(frozen=True, slots=True)
class PatientSearch:
    """What to find: beginnings of name words, or an exact CPF or CNS, formatted or plain."""

    q: str | None = None
    cpf: str | None = None
    cns: str | None = None
    include_deleted: bool = False


def list_patients(
    databases: Databases,
    actor: Actor,
    cipher: FieldCipher,
    *,
    include_deleted: bool = False,
    limit: int = 20,
    cursor: str | None = None,
) -> JsonPage:
    """Patients by the name shown first, folded. Raises Forbidden, Invalid (cursor), Unavailable."""
    actor.require(Permission.PATIENT_READ)
    search = PatientSearch(include_deleted=include_deleted)
    return _page(databases, actor, cipher, search, "patient.list", {}, limit, cursor)


def search_patients(
    databases: Databases,
    actor: Actor,
    cipher: FieldCipher,
    search: PatientSearch,
    *,
    limit: int = 20,
    cursor: str | None = None,
) -> JsonPage:
    """Patients whose names have words beginning with every word of ``q``, whatever the accents and case, and
    who have exactly this CPF and CNS where one is given.

    Raises Forbidden, Invalid, Unavailable; QuotaExceeded when an exact number is asked for too often by
    somebody who sees such numbers in part (``services/identifier_lookup.py``).
    """
    actor.require(Permission.PATIENT_READ)
    numbers = _numbers(search)
    if numbers:
        actor.require(Permission.PATIENT_LOOKUP)
    indexes = {kind: cipher.blind_indexes(kind, digits) for kind, digits in numbers.items()}
    words = None if search.q is None else name_words(search.q)
    parameters: dict[str, Any] = {**indexes}
    if words is not None:
        parameters["words"] = words
    if indexes:
        take_lookup(databases, actor, indexes)
    action = "patient.lookup" if indexes else "patient.search"
    return _page(databases, actor, cipher, search, action, parameters, limit, cursor)


def name_words(q: str) -> str:
    """``"Áv  joão"`` → ``'av':* & 'joao':*``, a tsquery in which nothing typed is an operator."""
    words = [word[:WORD_MAX] for word in SEPARATORS.split(fold(q[: QUERY_MAX + 1])) if word]
    if not words or len(words) > WORDS_MAX or len(q) > QUERY_MAX:
        raise Invalid.at("/q", f"1 to {WORDS_MAX} words of a name, at most {QUERY_MAX} characters")
    return " & ".join(f"'{word}':*" for word in words)


def _numbers(search: PatientSearch) -> dict[str, str]:
    given = {kind: value for kind in ("cpf", "cns") if (value := getattr(search, kind)) is not None}
    if not given and search.q is None:
        raise Invalid.at("/q", "say what to search for: q, cpf or cns")
    numbers = {kind: normalize(kind, value) for kind, value in given.items()}
    wrong = [FieldError(f"/{kind}", WHAT_IT_IS[kind]) for kind, digits in numbers.items() if digits is None]
    if wrong:
        raise Invalid("The search has a number that can't be right.", wrong)
    return {kind: digits for kind, digits in numbers.items() if digits is not None}


def _page(
    databases: Databases,
    actor: Actor,
    cipher: FieldCipher,
    search: PatientSearch,
    action: str,
    found_by: dict[str, Any],
    limit: int,
    cursor: str | None,
) -> JsonPage:
    """``found_by``: words, cpf and cns as the statement's parameters, where given.

    A cursor names the last patient shown and no more: cursors of GET stand in URLs, where no name may.
    """
    filters = {
        "action": action,
        "q": search.q,
        "deleted": search.include_deleted,
        "exact": ",".join(kind for kind in ("cpf", "cns") if kind in found_by),
    }
    event = Event(action=action, entity_type="patient")
    parameters = {
        "me": actor.user_id,
        "role": actor.role.value,
        "limit": limit,
        **found_by,
        **event_parameters(actor, event),
    }
    if cursor is not None:
        (parameters["after"],) = cursors.decode(filters, cursor, uuid.UUID)
    include_deleted = search.include_deleted and actor.role is not Role.PATIENT
    row = read(
        databases,
        actor,
        _statement(actor.role, tuple(sorted(found_by)), include_deleted, cursor is not None),
        parameters,
    )
    if row is None or row["data"] is None:
        return JsonPage(b"[]", None)
    shown = [represent(cipher, actor.role, values) for values in orjson.loads(row["data"])]
    following = cursors.encode(filters, row["last_id"]) if row["has_more"] else None
    return JsonPage(orjson.dumps(shown), following)


CONDITIONS = {
    "words": "p.search_names @@ to_tsquery('simple', %(words)s)",
    "cpf": "p.cpf_index = ANY(%(cpf)s)",
    "cns": "p.cns_index = ANY(%(cns)s)",
}


@lru_cache(maxsize=128)
def _statement(role: Role, found_by: Sequence[str], include_deleted: bool, continued: bool) -> str:
    conditions = [CONDITIONS[name] for name in found_by]
    if not include_deleted:
        conditions.append("p.deleted_at IS NULL")
    if continued:
        conditions.append(
            "(p.name_key, p.id) > ((SELECT a.name_key FROM patients a WHERE a.id = %(after)s), %(after)s)"
        )
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    # Found first and ordered afterwards: walking the names in order until a rare word turns up reads them all.
    source = "patients p"
    if found_by:
        source, where = f"(SELECT p.id, p.name_key FROM patients p {where} OFFSET 0) p", ""
    # An exact number belongs to one patient: the event names them as whose it was.
    patient = "(SELECT id FROM shown LIMIT 1)" if {"cpf", "cns"} & set(found_by) else "NULL::uuid"
    return f"""
        WITH page AS MATERIALIZED (
            SELECT p.id, p.name_key FROM {source} {where} ORDER BY p.name_key, p.id LIMIT %(limit)s + 1
        ), shown AS MATERIALIZED (
            SELECT p.*, {inside(role)} AS inside
            FROM (SELECT id FROM page ORDER BY name_key, id LIMIT %(limit)s) g JOIN patients p ON p.id = g.id
        ), event AS (
            {event_insert("", entity_ids="ARRAY(SELECT id FROM shown)", patient_id=patient)}
        )
        SELECT
            (SELECT json_agg({sql_row(role)} ORDER BY s.name_key, s.id) FROM shown s)::text AS data,
            (SELECT count(*) > %(limit)s FROM page) AS has_more,
            (SELECT id FROM shown ORDER BY name_key DESC, id DESC LIMIT 1) AS last_id
    """
