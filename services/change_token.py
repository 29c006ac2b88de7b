"""Has anything changed since I last looked? One word that says so, and nothing else.

An open dashboard asks this every second. The answer is a keyed digest: it tells that something the reader's pages
show has changed, not what; it is no read of a record and writes no event.

For staff it is asked once for everybody (``ClinicState``); a patient's, who sees rows of their own alone, each time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from config import Principal
from models.engine import Databases
from models.user import Role
from services.actor import Actor
from services.audited_read import read
from services.errors import Unavailable
from services.permissions import Permission, permits

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
# One person's own, for everybody who has any at once: what waits to be read, and that there are drafts (not every word
# of them: they are saved every few seconds). The end of an emergency access is a change too: what it opened is masked
# again.
OWN = """
    (SELECT json_object_agg(user_id, state) FROM (
        SELECT user_id, string_agg(part, ',' ORDER BY part) AS state FROM (
            SELECT user_id, 'n' || count(*) || max(id::text) AS part FROM notifications
            WHERE read_at IS NULL GROUP BY user_id
            UNION ALL
            SELECT user_id, 'd' || count(*) || max(id::text) FROM drafts WHERE expires_at > now() GROUP BY user_id
            UNION ALL
            SELECT user_id, 'g' || count(*) FROM break_glass_grants
            WHERE reviewed_at IS NULL AND expires_at > now() GROUP BY user_id
        ) p GROUP BY user_id
    ) o)
"""
# An import's progress has a live part of its own; here, that one was begun or came to its end.
IMPORTS = """
    (SELECT coalesce(max(created_at)::text, '') || count(*) FILTER (WHERE finished_at IS NULL) FROM import_jobs)
"""
TO_REVIEW = """
    (SELECT count(*) FILTER (WHERE reviewed_at IS NULL) || coalesce(max(id::text), '')
        || coalesce(max(reviewed_at)::text, '') FROM break_glass_grants)
"""
# New ones, more of an open one, and reviews; staff's role reads no alert itself.
ALERTS = "(SELECT access_alerts_state())"
ROLES = """
    (SELECT count(*) || coalesce(max(id::text), '') FROM role_requests WHERE decided_at IS NULL)
"""
# Its ends as well, so not the newest alone.
TEAMS = """
    (SELECT count(*) || coalesce(max(id::text), '') FROM care_team_members
        WHERE removed_at IS NULL AND (expires_at IS NULL OR expires_at > now()))
"""

CLINIC = f"""
    SELECT
        md5(concat_ws('|', {RECORDS}, {VISITS}, {PRESENT},
            {NEWEST.format(table="patients")}, {TEAMS})) AS records,
        {IMPORTS} AS imports, {TO_REVIEW} AS to_review, {ROLES} AS roles, {OWN} AS own,
        {ALERTS} AS alerts
"""
# One patient: their data, what they must not be given, who treats them, and how many records in which versions.
ABOUT = """
    SELECT concat_ws('|',
        (SELECT version FROM patients WHERE id = %(patient)s),
        (SELECT string_agg(a::text, ',' ORDER BY id) FROM allergies a WHERE patient_id = %(patient)s),
        (SELECT string_agg(m::text, ',' ORDER BY id) FROM care_team_members m
            WHERE patient_id = %(patient)s AND removed_at IS NULL AND (expires_at IS NULL OR expires_at > now())),
        (SELECT count(*) || '.' || sum(version) FROM medical_records
            WHERE patient_id = %(patient)s AND deleted_at IS NULL),
        (SELECT count(*) FROM medical_records WHERE patient_id = %(patient)s AND deleted_at IS NOT NULL)
    ) AS state
"""
OWN_ACCESS = """
    SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') AS access FROM break_glass_grants
    WHERE patient_id = %(patient)s AND user_id = %(me)s AND expires_at > now()
"""
# A patient's role sees no grants, and their own record needs none.
ABOUT_FOR_STAFF = f"SELECT about.state || '|' || own.access AS state FROM ({ABOUT}) about, ({OWN_ACCESS}) own"
# Row-level security narrows these to the patient's own.
PATIENTS_OWN = f"SELECT md5(concat_ws('|', {RECORDS}, {VISITS})) AS state"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``own``: user id → what is theirs alone, of those who have anything."""

    records: str
    imports: str
    to_review: str
    roles: str
    own: Mapping[str, str]
    alerts: str

    def seen_by(self, actor: Actor) -> list[str]:
        """What this actor's pages show some of."""
        parts = [self.own.get(str(actor.user_id), "")]
        if actor.may(Permission.RECORD_READ) and actor.may(Permission.VISIT_READ):
            parts.append(self.records)
        if actor.may(Permission.IMPORT):
            parts.append(self.imports)
        if permits(actor.role, Permission.BREAK_GLASS_READ, None):
            parts.append(self.to_review)
        if permits(actor.role, Permission.USER_MANAGE, None):
            parts.append(self.roles)
        if permits(actor.role, Permission.ALERT_READ, None):
            parts.append(self.alerts)
        return parts


class ClinicState:
    """All staff's pages' state, asked for everybody together, at most every quarter of a second a process: 200 open
    dashboards cost the database as much as one."""

    def __init__(self, databases: Databases, *, kept_seconds: float = KEPT_SECONDS) -> None:
        self._databases = databases
        self.kept_seconds = kept_seconds
        self._lock = threading.Lock()
        self._known: Snapshot | None = None
        self._asked_at = 0.0

    def get(self) -> Snapshot:
        """While one thread asks anew, others take the last answer. Raises Unavailable."""
        known = self._known
        if known is not None and time.monotonic() - self._asked_at < self.kept_seconds:
            return known
        if not self._lock.acquire(blocking=known is None):
            return known or self.get()
        try:
            asked_at = time.monotonic()
            self._known = self._ask()
            self._asked_at = asked_at
            return self._known
        finally:
            self._lock.release()

    def _ask(self) -> Snapshot:
        try:
            with self._databases.autocommit(Principal.STAFF) as connection:
                row = connection.execute(CLINIC).fetchone()
        except psycopg.Error as error:
            raise Unavailable(NO_ANSWER) from error
        if row is None:
            raise Unavailable(NO_ANSWER)
        return Snapshot(row[0], row[1], row[2], row[3], row[4] or {}, row[5])


def change_token(databases: Databases, clinic: ClinicState, actor: Actor, key: bytes) -> str:
    """22 characters that differ once something this actor's pages show has changed. Raises Unavailable.

    ``key`` (any secret of the installation) keeps the token from being a digest that could be tested for a guess.
    """
    if actor.role is Role.PATIENT:
        row = read(databases, actor, PATIENTS_OWN, {})
        parts = ["" if row is None else str(row["state"])]
    else:
        parts = clinic.get().seen_by(actor)
    return _digest(key, str(actor.user_id), *parts)


def patient_token(databases: Databases, actor: Actor, patient_id: uuid.UUID, key: bytes) -> str:
    """22 characters that differ once anything about one patient has changed that a page of theirs shows; for whoever
    may see patients at all. Raises Forbidden, Unavailable."""
    actor.require(Permission.PATIENT_READ)
    statement = ABOUT if actor.role is Role.PATIENT else ABOUT_FOR_STAFF
    row = read(databases, actor, statement, {"patient": patient_id, "me": actor.user_id})
    return _digest(key, str(actor.user_id), str(patient_id), "" if row is None else row["state"])


def _digest(key: bytes, *parts: str) -> str:
    digest = hmac.digest(key, "\0".join(parts).encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")
