"""The clinic's data, one file per concept. Importing this package registers every table."""

from models.access_alert import AccessAlert, AccessAlertDigest, AccessWatch
from models.audit import (
    AuditArchive,
    AuditCheckpoint,
    AuditFinding,
    AuditLog,
    AuditOutbox,
    AuditTreeNode,
    CheckpointSink,
)
from models.base import Base, new_id
from models.care_team import BreakGlassGrant, CareTeamMember, Notification
from models.dead_letter import DeadLetter
from models.import_job import ImportFile, ImportJob, ImportReject
from models.invitation import PasswordLink, RoleRequest
from models.patient import Allergy, Patient, PatientVersion
from models.quota import IdempotencyKey, IdentifierLookup, JobRun, RateLimitLog
from models.record import Draft, MedicalRecord, RecordVersion
from models.setting import Setting, SettingVersion
from models.sign_in import ApiToken, LoginFailure, Session
from models.user import Role, RoleDefinition, RoleVersion, User, UserRole, UserVersion
from models.visit import Visit

__all__ = [
    "AccessAlert",
    "AccessAlertDigest",
    "AccessWatch",
    "Allergy",
    "ApiToken",
    "AuditArchive",
    "AuditCheckpoint",
    "AuditFinding",
    "AuditLog",
    "AuditOutbox",
    "AuditTreeNode",
    "Base",
    "BreakGlassGrant",
    "CareTeamMember",
    "CheckpointSink",
    "DeadLetter",
    "Draft",
    "IdempotencyKey",
    "IdentifierLookup",
    "ImportFile",
    "ImportJob",
    "ImportReject",
    "JobRun",
    "LoginFailure",
    "MedicalRecord",
    "Notification",
    "PasswordLink",
    "Patient",
    "PatientVersion",
    "RateLimitLog",
    "RecordVersion",
    "Role",
    "RoleDefinition",
    "RoleRequest",
    "RoleVersion",
    "Session",
    "Setting",
    "SettingVersion",
    "User",
    "UserRole",
    "UserVersion",
    "Visit",
    "new_id",
]
