"""Find out who is calling: by bearer token or by session cookie, in one statement as the anonymous principal.

A revoked token, an ended session and a disabled user are refused at the next request: what a reading caller is
remembered as (``services/remembered_caller.py``) is confirmed by the statement that reads.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from config import Principal
from models.engine import Databases

TOKEN_PREFIX = "sgl_"  # noqa: S105  (names a token's kind, for scanners that look for leaked secrets)
SECRET_MAX = 200

# SECURITY 4: the idle time is the clinic's to shorten, never to lengthen or switch off.
IDLE_MINUTES_MAX = 15
IDLE = f"""
    make_interval(mins => LEAST({IDLE_MINUTES_MAX}, GREATEST(1, coalesce((
        SELECT CASE WHEN jsonb_typeof(value) = 'number' THEN trunc((value #>> '{{}}')::numeric) END
        FROM settings WHERE key = 'session.idle_minutes'
    ), {IDLE_MINUTES_MAX})))::int)
"""

# The time of a token's last use is kept to the minute.
NOTED_SECONDS = 60

# SECURITY 6: for how long the password typed again opens what asks for it.
STEP_UP_MINUTES = 10

# What makes a caller count: conditions over ``api_tokens t`` and the ``users u`` of a token or session, and the role it
# was made for, which nobody can use who lost it.
TOKEN_LASTS = "t.revoked_at IS NULL AND t.expires_at > now()"  # noqa: S105  (a condition)
USER_MAY = "u.disabled_at IS NULL"
ROLE_HELD = "EXISTS (SELECT FROM user_roles r WHERE r.user_id = {user} AND r.role = {role})"
LOOK_UP_BEARER = f"""
SELECT t.user_id, t.acting_role AS role, u.full_name AS name, u.council, u.patient_id, u.locale,
    t.id AS token_id, t.scopes, t.quota AS token_quota, u.quota AS user_quota, NULL::uuid AS session_id,
    false AS must_change, false AS stepped_up, NULL::int AS idle_seconds, NULL::int AS end_seconds,
    t.xmin::text AS token_row, u.version AS user_version,
    coalesce(extract(epoch FROM now() - t.last_used_at), {NOTED_SECONDS})::float8 AS unused_seconds
FROM api_tokens t JOIN users u ON u.id = t.user_id
WHERE t.secret_hash = %(hash)s AND {TOKEN_LASTS} AND {USER_MAY}
    AND {ROLE_HELD.format(user="t.user_id", role="t.acting_role")}
"""
# Apart from the look-up. Another's lock on the row is no reason to wait: they write the same.
NOTE_USE = f"""
UPDATE api_tokens SET last_used_at = now() WHERE id = (
    SELECT id FROM api_tokens
    WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < now() - interval '{NOTED_SECONDS} seconds')
    FOR UPDATE SKIP LOCKED
) RETURNING xmin::text
"""

# Being seen is written at most every ten seconds: a page of many requests is one sign of life. What is left of the
# session is told as it stands after that.
LOOK_UP_SESSION = f"""
WITH rules AS MATERIALIZED (SELECT {IDLE} AS idle), found AS (
    SELECT s.id, s.user_id, s.acting_role, u.full_name, u.council, u.patient_id, u.quota AS user_quota, u.locale,
        u.must_change_password, s.last_seen_at, s.expires_at, rules.idle,
        coalesce(s.stepped_up_at > now() - interval '{STEP_UP_MINUTES} minutes', false) AS stepped_up,
        %(active)s AND s.last_seen_at < now() - interval '10 seconds' AS is_news
    FROM rules CROSS JOIN sessions s JOIN users u ON u.id = s.user_id
    WHERE s.secret_hash = %(hash)s AND s.ended_at IS NULL AND s.expires_at > now()
        AND s.last_seen_at > now() - rules.idle AND {USER_MAY}
        AND {ROLE_HELD.format(user="s.user_id", role="s.acting_role")}
), seen AS (
    UPDATE sessions s SET last_seen_at = now() FROM found f WHERE s.id = f.id AND f.is_news
)
SELECT f.user_id, f.acting_role AS role, f.full_name AS name, f.council, f.patient_id, f.locale,
    NULL::uuid AS token_id, NULL::text[] AS scopes, NULL::text AS token_quota, f.user_quota,
    f.id AS session_id, f.must_change_password AS must_change, f.stepped_up,
    ceil(extract(epoch FROM CASE WHEN f.is_news THEN f.idle ELSE f.last_seen_at + f.idle - now() END))::int
        AS idle_seconds,
    ceil(extract(epoch FROM f.expires_at - now()))::int AS end_seconds
FROM found f
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token or session belongs to, as the database has it now: the statements' columns."""

    user_id: uuid.UUID
    role: str
    name: str
    council: str | None
    patient_id: uuid.UUID | None
    locale: str
    token_id: uuid.UUID | None
    scopes: list[str] | None
    token_quota: str | None
    user_quota: str | None
    session_id: uuid.UUID | None
    must_change: bool  # the password was given by somebody else and must be changed first
    stepped_up: bool  # the password was typed again a moment ago (SECURITY 6)
    idle_seconds: int | None  # what is left of a session if nothing more is done in it
    end_seconds: int | None  # … and whatever is done (SECURITY 4)


def secret_hash(secret: str) -> bytes:
    """SHA-256 of a token or session secret: 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True, slots=True)
class Known:
    """Who holds a token, and the state of its rows that says so. It is good for ``seconds``: then the time of last use
    is due to be written again."""

    identity: Identity
    token_row: str  # the transaction that wrote the token's row (xmin): any change of it shows
    user_version: int
    seconds: float


def find_token(databases: Databases, token: str) -> Identity | None:
    """Who holds ``token``; None when it is unknown, expired or revoked, or its user disabled."""
    known = look_up_token(databases, token)
    return None if known is None else known.identity


def look_up_token(databases: Databases, token: str) -> Known | None:
    """The same, with what it rests on."""
    if not token.startswith(TOKEN_PREFIX) or len(token) > SECRET_MAX:
        return None
    with databases.autocommit(Principal.ANONYMOUS) as connection:
        row = connection.first_row(LOOK_UP_BEARER, {"hash": secret_hash(token)})
        if row is None:
            return None
        token_row, user_version, unused = (row.pop(name) for name in ("token_row", "user_version", "unused_seconds"))
        if unused >= NOTED_SECONDS:
            noted = connection.execute(NOTE_USE, {"id": row["token_id"]}).fetchone()
            token_row, unused = (token_row, NOTED_SECONDS) if noted is None else (noted[0], 0.0)
    return Known(Identity(**row), token_row, user_version, NOTED_SECONDS - unused)


def find_session(databases: Databases, secret: str, *, is_background: bool) -> Identity | None:
    """Whose session ``secret`` opens; None when it has ended, idled out or is unknown.

    ``is_background``: the request was made by a page on its own and is no sign of life (SECURITY 4).
    """
    if len(secret) > SECRET_MAX:
        return None
    return _one(databases, LOOK_UP_SESSION, {"hash": secret_hash(secret), "active": not is_background})


def _one(databases: Databases, statement: str, parameters: dict[str, Any]) -> Identity | None:
    with databases.autocommit(Principal.ANONYMOUS) as connection:
        row = connection.first_row(statement, parameters)
    return None if row is None else Identity(**row)
