"""Find out who is calling: by bearer token or by session cookie, in one statement as the anonymous principal.

Nothing is cached, so a revoked token, an ended session and a disabled user are refused at the next request.
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

# SECURITY 6: for how long the password typed again opens what asks for it.
STEP_UP_MINUTES = 10

# A user who lost a role can't use what was made for it.
LOOK_UP_BEARER = """
SELECT t.user_id, t.acting_role AS role, u.full_name AS name, u.council, u.patient_id, u.locale,
    t.id AS token_id, t.scopes, t.quota AS token_quota, u.quota AS user_quota, NULL::uuid AS session_id,
    false AS must_change, false AS stepped_up, NULL::int AS idle_seconds, NULL::int AS end_seconds,
    t.last_used_at IS NULL OR t.last_used_at < now() - interval '1 minute' AS is_news
FROM api_tokens t JOIN users u ON u.id = t.user_id
WHERE t.secret_hash = %(hash)s AND t.revoked_at IS NULL AND t.expires_at > now() AND u.disabled_at IS NULL
    AND EXISTS (SELECT FROM user_roles r WHERE r.user_id = t.user_id AND r.role = t.acting_role)
"""
# The time of last use is kept to the minute, apart from the look-up that every request makes. Another's lock
# on the row is no reason to wait: they write the same.
NOTE_USE = """
UPDATE api_tokens SET last_used_at = now() WHERE id = (
    SELECT id FROM api_tokens
    WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
    FOR UPDATE SKIP LOCKED
)
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
        AND s.last_seen_at > now() - rules.idle AND u.disabled_at IS NULL
        AND EXISTS (SELECT FROM user_roles r WHERE r.user_id = s.user_id AND r.role = s.acting_role)
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


def find_token(databases: Databases, token: str) -> Identity | None:
    """Who holds ``token``; None when it is unknown, expired or revoked, or its user disabled."""
    if not token.startswith(TOKEN_PREFIX) or len(token) > SECRET_MAX:
        return None
    with databases.autocommit(Principal.ANONYMOUS) as connection:
        row = connection.first_row(LOOK_UP_BEARER, {"hash": secret_hash(token)})
        if row is None:
            return None
        if row.pop("is_news"):
            connection.execute(NOTE_USE, {"id": row["token_id"]})
    return Identity(**row)


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
