"""Has anything changed since I last looked? One word that says so, and nothing else.

An open dashboard asks this every few seconds. The answer is a keyed digest: it tells that something the
reader's pages show has changed, not what; it is no read of a record and writes no event.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.actor import Actor
from services.permissions import Permission

# The minute before the newest change row by row, since transactions do not commit in the order of their times.
# Not the last minute by the clock: then rows would leave it, and the token change with nothing having changed.
RECORDS = """
    SELECT coalesce(max(updated_at)::text, '') || coalesce((
        SELECT string_agg(id::text || version, ',' ORDER BY id) FROM medical_records
        WHERE updated_at > (SELECT max(updated_at) FROM medical_records) - interval '1 minute'
    ), '') FROM medical_records
"""
VISITS = "SELECT string_agg(id::text || version, ',' ORDER BY id) FROM visits WHERE status IN ('WAITING', 'IN_CARE')"
IMPORTS = """
    SELECT coalesce(max(created_at)::text, '') || '-' || count(*) FILTER (WHERE finished_at IS NULL) FROM import_jobs
"""
NOTIFICATIONS = """
    SELECT count(*)::text || coalesce(max(id::text), '') FROM notifications WHERE user_id = :me AND read_at IS NULL
"""


def change_token(session: Session, actor: Actor, key: bytes) -> str:
    """22 characters that differ once something this actor's pages show has changed.

    ``key`` (any secret of the installation) keeps the token from being a digest that could be tested for a
    guess. Row-level security narrows a patient's to their own rows.
    """
    statements = []
    if actor.may(Permission.RECORD_READ):
        statements.append(RECORDS)
    if actor.may(Permission.VISIT_READ):
        statements.append(VISITS)
    if actor.may(Permission.IMPORT):
        statements.append(IMPORTS)
    if actor.patient_id is None:
        statements.append(NOTIFICATIONS)
    state = [str(session.execute(text(statement), {"me": actor.user_id}).scalar()) for statement in statements]
    digest = hmac.digest(key, "\0".join([str(actor.user_id), *state]).encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")
