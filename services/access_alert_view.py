"""How an alert is shown: to auditors alone, with opaque ids for whoever it is about."""

from __future__ import annotations

from typing import Any

from services.actor import Actor
from services.permissions import Permission
from services.record_fields import sql_time

NO_ALERT = "There is no such alert."

# SQL json over ``s`` (an alert): no name in it, for the masking table hides all of them from an auditor.
SQL_ROW = f"""
    json_build_object(
        'id', s.id, 'number', s.number, 'rule', s.rule, 'userId', s.user_id, 'role', s.acting_role,
        'patientId', CASE WHEN s.subject_id <> s.user_id THEN s.subject_id END,
        'patientIds', s.patient_ids, 'count', s.count, 'threshold', s.threshold, 'windowMinutes', s.window_minutes,
        'startedAt', {sql_time("s.started_at")}, 'lastAt', {sql_time("s.last_at")},
        'createdAt', {sql_time("s.created_at")}, 'firstSequence', s.first_sequence, 'lastSequence', s.last_sequence,
        'reviewedAt', {sql_time("s.reviewed_at")}, 'reviewerId', s.reviewed_by, 'verdict', s.verdict,
        'note', s.review_note
    )
"""


def represent(actor: Actor, row: dict[str, Any]) -> dict[str, Any]:
    """``row`` (of ``SQL_ROW``) with ``mayReview``: whether a verdict on it is this actor's to give.
    ``services/access_alert_review.py`` decides the same."""
    may_review = (
        actor.may(Permission.ALERT_REVIEW) and row["userId"] != str(actor.user_id) and row["verdict"] is None
    )
    return {**row, "mayReview": may_review, "isAboutMe": row["userId"] == str(actor.user_id)}
