"""Has anything changed since I last looked? One word that says so, and nothing else.

An open dashboard asks this every second. The answer is a keyed digest: it tells that something the reader's pages
show has changed, not what; it is no read of a record and writes no event.

What is the same for all staff is asked once for everybody (``ClinicState``); what is one person's own, in one
statement each time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from functools import lru_cache

import psycopg

from config import Principal
from models.engine import Databases
from models.user import Role
from services.actor import Actor
from services.audited_read import read
from services.errors import Unavailable
from services.permissions import Permission

KEPT_SECONDS = 0.25  # by so much may a change be told late
NO_ANSWER = "The database can't be reached. Try again in a moment."

# The minute before the newest change row by row, since transactions do not commit in the order of their times.
# Not the last minute by the clock: then rows would leave it, and the token change with nothing having changed.
RECORDS = """
    (SELECT coalesce(max(updated_at)::text, '') || coalesce((
        SELECT string_agg(id::text || version, ',' ORDER BY id) FROM medical_records
        WHERE updated_at > (SELECT max(updated_at) FROM medical_records) - interval '1 minute'
    ), '') FROM medical_records)
"""
# Open ones, and all who came on the last day that anybody came: those closed since are part of the day's figures.
VISITS = """
    (SELECT string_agg(id::text || version, ',' ORDER BY id) FROM (
        SELECT id, version FROM visits WHERE status IN ('WAITING', 'IN_CARE')
        UNION
        SELECT id, version FROM visits WHERE arrived_at > (SELECT max(arrived_at) FROM visits) - interval '1 day'
    ) v)
"""
# Names, birth dates and allergies as the lists of open visits show them.
PRESENT = """
    (SELECT string_agg(p.id::text || p.version || (
        SELECT count(*) FROM allergies a WHERE a.patient_id = p.id
    ), ',' ORDER BY p.id) FROM visits v JOIN patients p ON p.id = v.patient_id
    WHERE v.status IN ('WAITING', 'IN_CARE'))
"""
# Ids begin with their time: the newest few tell of anything new, even when a slower transaction commits after it.
NEWEST = """
    (SELECT string_agg(id::text, ',' ORDER BY id) FROM (SELECT id FROM {table} ORDER BY id DESC LIMIT 20) n)
"""
NOTICES = """
    (SELECT count(*)::text || coalesce(max(id::text), '') FROM notifications WHERE user_id = %(me)s AND read_at IS NULL)
"""
# That there is one, not every word of it: a draft is saved every few seconds.
DRAFTS = """
    (SELECT count(*)::text || coalesce(max(id::text), '') FROM drafts WHERE user_id = %(me)s AND expires_at > now())
"""
# Its end is a change too: what was open to the reader is masked again.
GRANTS = """
    (SELECT count(*) FROM break_glass_grants
    WHERE reviewed_at IS NULL AND user_id = %(me)s AND expires_at > now())
"""
# An import's progress has a live part of its own; here, that one was begun or came to its end.
IMPORTS = """
    (SELECT coalesce(max(created_at)::text, '') || count(*) FILTER (WHERE finished_at IS NULL) FROM import_jobs)
"""
TO_REVIEW = """
    (SELECT count(*)::text || coalesce(max(id::text), '') FROM break_glass_grants WHERE reviewed_at IS NULL)
"""


def _digest(*parts: str) -> str:
    return f"SELECT md5(concat_ws('|', {', '.join(parts)})) AS state"


CLINIC = _digest(RECORDS, VISITS, PRESENT, *(NEWEST.format(table=name) for name in ("patients", "care_team_members")))


@lru_cache(maxsize=8)
def _own(role: Role) -> str:
    if role is Role.PATIENT:  # row-level security narrows these to their own
        return _digest(RECORDS, VISITS)
    parts = [NOTICES, DRAFTS]
    if role.is_clinical:
        parts.append(GRANTS)
    if role is Role.ADMIN:
        parts.append(IMPORTS)
    if role is Role.AUDITOR:
        parts.append(TO_REVIEW)
    return _digest(*parts)


class ClinicState:
    """What all staff's pages have in common, as one digest, asked at most every quarter of a second a process."""

    def __init__(self, databases: Databases, *, kept_seconds: float = KEPT_SECONDS) -> None:
        self._databases = databases
        self._kept_seconds = kept_seconds
        self._lock = threading.Lock()
        self._known: str | None = None
        self._asked_at = 0.0

    def get(self) -> str:
        """The digest. While one thread asks anew, others take the last answer. Raises Unavailable."""
        known = self._known
        if known is not None and time.monotonic() - self._asked_at < self._kept_seconds:
            return known
        if not self._lock.acquire(blocking=known is None):
            return known or ""
        try:
            asked_at = time.monotonic()
            self._known = self._ask()
            self._asked_at = asked_at
            return self._known
        finally:
            self._lock.release()

    def _ask(self) -> str:
        try:
            with self._databases.autocommit(Principal.STAFF) as connection:
                row = connection.execute(CLINIC).fetchone()
        except psycopg.Error as error:
            raise Unavailable(NO_ANSWER) from error
        return "" if row is None else str(row[0])


def change_token(databases: Databases, clinic: ClinicState, actor: Actor, key: bytes) -> str:
    """22 characters that differ once something this actor's pages show has changed. Raises Unavailable.

    ``key`` (any secret of the installation) keeps the token from being a digest that could be tested for a guess.
    """
    row = read(databases, actor, _own(actor.role), {"me": actor.user_id})
    parts = [str(actor.user_id), "" if row is None else str(row["state"])]
    if actor.role is not Role.PATIENT and actor.may(Permission.RECORD_READ) and actor.may(Permission.VISIT_READ):
        parts.append(clinic.get())
    digest = hmac.digest(key, "\0".join(parts).encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")
