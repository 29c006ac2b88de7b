"""Everything anybody may do, a sentence each, and which role may do it.

The product's two tables live here (acts) and in ``services/masking.py`` (fields). A role having a permission
is the first gate; whether it holds for this patient or record is decided in ``services/access.py``.
"""

from __future__ import annotations

from enum import StrEnum

from models.user import Role


class Permission(StrEnum):
    """One act. The value is stable: tests, docs and refusals name it."""

    PATIENT_READ = "patient.read"
    """See a patient's identification, through the mask."""
    PATIENT_CREATE = "patient.create"
    """Register a patient."""
    PATIENT_UPDATE = "patient.update"
    """Correct a patient's identification."""
    PATIENT_DELETE = "patient.delete"
    """Inactivate a patient who was registered by mistake, and restore them."""
    PATIENT_LOOKUP = "patient.lookup"
    """Find a patient by exact CPF."""
    ALLERGY_READ = "allergy.read"
    """See a patient's allergies, through the mask."""
    ALLERGY_WRITE = "allergy.write"
    """Note an allergy."""
    CARE_TEAM_WRITE = "care_team.write"
    """Add somebody else to a care team, or remove them."""
    BREAK_GLASS = "break_glass"
    """Read one patient in the clear for 30 minutes from outside the care team, for a stated reason."""
    BREAK_GLASS_READ = "break_glass.read"
    """See that emergency accesses happened: all as auditor or admin, on one's own patients as doctor or nurse."""
    BREAK_GLASS_REVIEW = "break_glass.review"
    """Say whether somebody else's emergency access was justified: any as auditor, on one's own patients as doctor."""
    VISIT_READ = "visit.read"
    """See who waits and who is in care."""
    VISIT_WRITE = "visit.write"
    """Check a patient in, and close the visit."""
    VISIT_CALL = "visit.call"
    """Call a waiting patient in, which makes the doctor part of the care team."""
    RECORD_READ = "record.read"
    """See medical records, through the mask."""
    RECORD_CREATE = "record.create"
    """Write a record; nurses a triage note only."""
    RECORD_UPDATE = "record.update"
    """Edit an open record, or correct one's own closed record with a reason."""
    RECORD_CLOSE = "record.close"
    """Close one's own record."""
    RECORD_AMEND = "record.amend"
    """Add an addendum to somebody's record."""
    RECORD_DELETE = "record.delete"
    """Inactivate a record with a reason, and restore it."""
    TRAIL_READ = "trail.read"
    """Read the audit trail: all of it as auditor, one's own patients' as doctor or nurse."""
    TRAIL_EXPORT = "trail.export"
    """Take the audit trail out of the system, with opaque ids."""
    ALERT_READ = "access_alert.read"
    """See which accesses were unusual."""
    ALERT_REVIEW = "access_alert.review"
    """Say whether somebody else's unusual access was justified."""
    RULE_READ = "access_rule.read"
    """See from how much on an access is unusual, and who changed that when and why."""
    ACCESS_LOG_READ = "access_log.read"
    """See who saw one's own record."""
    EXPORT = "export"
    """Take records out of the system, through the mask."""
    AI_USE = "ai.use"
    """Ask the local language model about a patient whose record one may read, and judge what it answers."""
    AI_REFUSE = "ai.refuse"
    """Note that a patient wants no AI used on their record, or that they changed their mind: as a patient their own."""
    AI_FIGURES = "ai.figures"
    """See how the models do: how much is accepted, how long it takes. Nobody's data."""
    USER_MANAGE = "user.manage"
    """Manage users, roles, tokens, settings and jobs."""
    IMPORT = "import"
    """Bring records in from files."""
    NOTIFICATION_READ = "notification.read"
    """See what one was told, and mark it as read."""
    SELF = "self"
    """See and end one's own sessions, know who one is."""


P = Permission

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.DOCTOR: frozenset(
        {
            P.PATIENT_READ, P.PATIENT_CREATE, P.PATIENT_UPDATE, P.PATIENT_DELETE, P.PATIENT_LOOKUP,
            P.ALLERGY_READ, P.ALLERGY_WRITE, P.CARE_TEAM_WRITE, P.BREAK_GLASS,
            P.VISIT_READ, P.VISIT_WRITE, P.VISIT_CALL,
            P.RECORD_READ, P.RECORD_CREATE, P.RECORD_UPDATE, P.RECORD_CLOSE, P.RECORD_AMEND, P.RECORD_DELETE,
            P.TRAIL_READ, P.EXPORT, P.BREAK_GLASS_READ, P.BREAK_GLASS_REVIEW, P.AI_USE, P.AI_REFUSE,
            P.NOTIFICATION_READ, P.SELF,
        }
    ),
    Role.NURSE: frozenset(
        {
            P.PATIENT_READ, P.PATIENT_CREATE, P.PATIENT_UPDATE, P.PATIENT_LOOKUP,
            P.ALLERGY_READ, P.ALLERGY_WRITE, P.BREAK_GLASS, P.VISIT_READ, P.VISIT_WRITE,
            P.RECORD_READ, P.RECORD_CREATE, P.RECORD_UPDATE, P.RECORD_CLOSE, P.RECORD_AMEND,
            P.TRAIL_READ, P.BREAK_GLASS_READ, P.AI_USE, P.AI_REFUSE, P.NOTIFICATION_READ, P.SELF,
        }
    ),
    Role.RECEPTION: frozenset(
        {
            P.PATIENT_READ, P.PATIENT_CREATE, P.PATIENT_UPDATE, P.PATIENT_DELETE, P.PATIENT_LOOKUP,
            P.ALLERGY_READ, P.CARE_TEAM_WRITE, P.VISIT_READ, P.VISIT_WRITE, P.RECORD_READ,
            P.AI_REFUSE, P.NOTIFICATION_READ, P.SELF,
        }
    ),
    Role.ADMIN: frozenset(
        {
            P.PATIENT_READ, P.PATIENT_LOOKUP, P.ALLERGY_READ, P.VISIT_READ, P.RECORD_READ, P.USER_MANAGE, P.IMPORT,
            P.RULE_READ, P.BREAK_GLASS_READ, P.AI_FIGURES, P.NOTIFICATION_READ, P.SELF,
        }
    ),
    Role.AUDITOR: frozenset(
        {
            P.TRAIL_READ, P.TRAIL_EXPORT, P.BREAK_GLASS_READ, P.BREAK_GLASS_REVIEW, P.ALERT_READ, P.ALERT_REVIEW,
            P.RULE_READ, P.AI_FIGURES, P.NOTIFICATION_READ, P.SELF,
        }
    ),
    Role.PATIENT: frozenset(
        {P.PATIENT_READ, P.ALLERGY_READ, P.VISIT_READ, P.RECORD_READ, P.ACCESS_LOG_READ, P.EXPORT, P.AI_REFUSE, P.SELF}
    ),
}  # fmt: skip


class Scope(StrEnum):
    """What a bearer token was made for; it narrows its user's permissions and never widens them."""

    PATIENTS_READ = "patients:read"
    PATIENTS_WRITE = "patients:write"
    RECORDS_READ = "records:read"
    RECORDS_WRITE = "records:write"
    VISITS_READ = "visits:read"
    VISITS_WRITE = "visits:write"
    AUDIT_READ = "audit:read"
    BREAK_GLASS = "break-glass"
    EXPORT = "export"


# Permissions without a scope (imports, users, reviews) are not for tokens, SELF aside, which every token has.
SCOPE_OF: dict[Permission, Scope | None] = {
    P.PATIENT_READ: Scope.PATIENTS_READ,
    P.PATIENT_CREATE: Scope.PATIENTS_WRITE,
    P.PATIENT_UPDATE: Scope.PATIENTS_WRITE,
    P.PATIENT_DELETE: Scope.PATIENTS_WRITE,
    P.PATIENT_LOOKUP: Scope.PATIENTS_READ,
    P.ALLERGY_READ: Scope.PATIENTS_READ,
    P.ALLERGY_WRITE: Scope.PATIENTS_WRITE,
    P.CARE_TEAM_WRITE: Scope.PATIENTS_WRITE,
    P.BREAK_GLASS: Scope.BREAK_GLASS,
    P.BREAK_GLASS_READ: None,
    P.BREAK_GLASS_REVIEW: None,
    P.VISIT_READ: Scope.VISITS_READ,
    P.VISIT_WRITE: Scope.VISITS_WRITE,
    P.VISIT_CALL: Scope.VISITS_WRITE,
    P.RECORD_READ: Scope.RECORDS_READ,
    P.RECORD_CREATE: Scope.RECORDS_WRITE,
    P.RECORD_UPDATE: Scope.RECORDS_WRITE,
    P.RECORD_CLOSE: Scope.RECORDS_WRITE,
    P.RECORD_AMEND: Scope.RECORDS_WRITE,
    P.RECORD_DELETE: Scope.RECORDS_WRITE,
    P.TRAIL_READ: Scope.AUDIT_READ,
    P.TRAIL_EXPORT: None,
    P.ALERT_READ: None,
    P.ALERT_REVIEW: None,
    P.RULE_READ: None,
    P.ACCESS_LOG_READ: Scope.AUDIT_READ,
    P.EXPORT: Scope.EXPORT,
    P.AI_USE: None,
    P.AI_REFUSE: None,
    P.AI_FIGURES: None,
    P.USER_MANAGE: None,
    P.IMPORT: None,
    P.NOTIFICATION_READ: None,
    P.SELF: None,
}

ALWAYS_FOR_TOKENS = frozenset({P.SELF})


def scopes_of(role: Role) -> frozenset[Scope]:
    """All scopes that make sense for ``role``: what a token has when none are named."""
    return frozenset(
        scope for permission in ROLE_PERMISSIONS[role] if (scope := SCOPE_OF[permission]) is not None
    )


def permits(role: Role, permission: Permission, scopes: frozenset[str] | None) -> bool:
    """Whether ``role`` may do ``permission``, with a token's ``scopes`` (None: no token, a signed-in person)."""
    if permission not in ROLE_PERMISSIONS[role]:
        return False
    if scopes is None or permission in ALWAYS_FOR_TOKENS:
        return True
    scope = SCOPE_OF[permission]
    return scope is not None and scope in scopes
