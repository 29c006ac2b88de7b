"""The clinic's data, one file per concept. Importing this package registers every table."""

from models.access_alert import AccessAlert, AccessAlertDigest, AccessWatch, AccessWatchBehind
from models.ai import AiRefusal, AiRequest
from models.audit import (
    AuditAlarm,
    AuditArchive,
    AuditCheck,
    AuditCheckpoint,
    AuditFinding,
    AuditLog,
    AuditOutbox,
    AuditPolicy,
    AuditTreeNode,
    CheckpointSink,
)
from models.backup import ArchiveStanding, Backup, BackupDrill, BackupKey, BackupMail
from models.base import Base, new_id
from models.care_team import BreakGlassGrant, CareTeamMember, Notification
from models.cid10 import Cid10Code, Cid10Release
from models.dead_letter import DeadLetter
from models.import_job import ImportFile, ImportFilePart, ImportJob, ImportReject
from models.invitation import PasswordLink, RoleRequest
from models.patient import Allergy, Patient, PatientVersion
from models.quota import IdempotencyKey, IdentifierLookup, JobRun, RateLimitLog
from models.record import Draft, MedicalRecord, RecordVersion
from models.schema_floor import SchemaFloor
from models.setting import Setting, SettingVersion
from models.sign_in import ApiToken, LoginFailure, Session
from models.system_digest import SystemDigest
from models.user import Role, RoleDefinition, RoleVersion, User, UserRole, UserVersion
from models.visit import Visit

__all__ = [
    "AccessAlert",
    "AccessAlertDigest",
    "AccessWatch",
    "AccessWatchBehind",
    "AiRefusal",
    "AiRequest",
    "Allergy",
    "ApiToken",
    "ArchiveStanding",
    "AuditAlarm",
    "AuditArchive",
    "AuditCheck",
    "AuditCheckpoint",
    "AuditFinding",
    "AuditLog",
    "AuditOutbox",
    "AuditPolicy",
    "AuditTreeNode",
    "Backup",
    "BackupDrill",
    "BackupKey",
    "BackupMail",
    "Base",
    "BreakGlassGrant",
    "CareTeamMember",
    "CheckpointSink",
    "Cid10Code",
    "Cid10Release",
    "DeadLetter",
    "Draft",
    "IdempotencyKey",
    "IdentifierLookup",
    "ImportFile",
    "ImportFilePart",
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
    "SchemaFloor",
    "Session",
    "Setting",
    "SettingVersion",
    "SystemDigest",
    "User",
    "UserRole",
    "UserVersion",
    "Visit",
    "new_id",
]
