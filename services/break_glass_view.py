"""How an emergency access is shown: to whom at all, and through which mask.

The auditor and administrators see every one; a doctor or nurse those on patients whose care team they are on.
Names follow the masking table, the stated reason and the reviewer's note are clinical text.
"""

from __future__ import annotations

from typing import Any

from models.user import Role
from services.access import CURRENT_MEMBER
from services.actor import Actor
from services.audit_read import SEES_REASON
from services.masking import Visibility, role_relation, visibility
from services.permissions import Permission
from services.record_fields import sql_time

FOLLOW_UP = "FOLLOW_UP"

# SQL json over ``s`` (a grant), unmasked: for ``represent`` and nobody else.
SQL_ROW = f"""
    json_build_object(
        'id', s.id, 'patientId', s.patient_id, 'userId', s.user_id, 'role', s.acting_role, 'reason', s.reason,
        'patientName', (SELECT coalesce(p.social_name, p.full_name) FROM patients p WHERE p.id = s.patient_id),
        'userName', (SELECT u.full_name FROM users u WHERE u.id = s.user_id),
        'grantedAt', {sql_time("s.granted_at")}, 'expiresAt', {sql_time("s.expires_at")},
        'isRunning', s.expires_at > now(),
        'reviewedAt', {sql_time("s.reviewed_at")}, 'reviewerId', s.reviewed_by,
        'reviewerName', (SELECT u.full_name FROM users u WHERE u.id = s.reviewed_by),
        'verdict', s.verdict, 'note', s.review_note
    )
"""


def in_scope(role: Role) -> str:
    """SQL condition over ``g`` (a grant) and %(me)s: that this reader may know of it."""
    if not role.is_clinical:
        return "TRUE"
    return (
        "EXISTS (SELECT FROM care_team_members m WHERE m.patient_id = g.patient_id "
        f"AND m.user_id = %(me)s AND {CURRENT_MEMBER})"
    )


def represent(actor: Actor, row: dict[str, Any]) -> dict[str, Any]:
    """``row`` (of ``SQL_ROW``) as ``actor`` sees it, with ``privacy`` and ``mayReview``."""
    relation = role_relation(actor.role, in_team=True)  # clinical readers get their own patients' alone
    hidden: list[str] = []
    if visibility("patient", "fullName", relation) is not Visibility.CLEAR:
        hidden.append("patientName")
    if visibility("record", "author", relation) is not Visibility.CLEAR:
        hidden += ["userName", "reviewerName"]
    if relation not in SEES_REASON:
        hidden.append("reason")
        if row["reviewerId"] != str(actor.user_id):
            hidden.append("note")
    return {
        **row,
        **dict.fromkeys(hidden),
        "mayReview": may_review(actor, row),
        "privacy": {"maskedFields": hidden, "reason": relation.value if hidden else None},
    }


def may_review(actor: Actor, row: dict[str, Any]) -> bool:
    """Whether a verdict on it is this actor's to give now; ``services/break_glass_review.py`` decides the same."""
    return (
        actor.may(Permission.BREAK_GLASS_REVIEW)
        and row["userId"] != str(actor.user_id)
        and not row["isRunning"]
        and row["verdict"] in (None, FOLLOW_UP)
    )
