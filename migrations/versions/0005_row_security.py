"""Who may touch which table, and row-level security on everything that says something about a patient.

FORCE makes the policies hold for the owner too: the migrator gets its own, and on the trail only to read and
to append. The staff policy needs no context (the role itself carries it), so lists stay fast; the patient
role sees the rows of the one patient named in its transaction and none otherwise.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STAFF, PATIENT, ANONYMOUS = "sigilo_staff", "sigilo_patient", "sigilo_anonymous"
WORKER, AUDITOR, BACKUP, MIGRATOR = "sigilo_worker", "sigilo_auditor", "sigilo_backup", "sigilo_migrator"
EVERYONE = (STAFF, PATIENT, ANONYMOUS, WORKER, AUDITOR, BACKUP)

# Column that names the patient, for what a patient may read of their own.
OWN = {
    "patients": "id",
    "allergies": "patient_id",
    "visits": "patient_id",
    "care_team_members": "patient_id",
    "medical_records": "patient_id",
    "record_versions": "patient_id",
}
CLINICAL = (
    "patients",
    "patient_versions",
    "allergies",
    "visits",
    "care_team_members",
    "break_glass_grants",
    "notifications",
    "medical_records",
    "record_versions",
    "drafts",
    "import_files",
    "import_rejects",
)
APPEND_ONLY = ("audit_outbox", "audit_trail", "audit_checkpoints")
AUDITOR_READS = (
    "patients",
    "patient_versions",
    "care_team_members",
    "break_glass_grants",
    "medical_records",
    "record_versions",
    "visits",
    "allergies",
)
USER_COLUMNS = (
    "id, email, full_name, council, cpf_index, password_changed_at, must_change_password, patient_id, quota, "
    "locale, disabled_at, version, created_at, updated_at"
)
PUBLIC_USER_COLUMNS = "id, full_name, council"

# table → role → privileges. What is not here is refused.
GRANTS = {
    "alembic_version": dict.fromkeys(EVERYONE, "SELECT"),
    "roles": dict.fromkeys(EVERYONE, "SELECT"),
    "settings": {
        STAFF: "SELECT, INSERT, UPDATE",
        ANONYMOUS: "SELECT",
        PATIENT: "SELECT",
        WORKER: "SELECT",
        AUDITOR: "SELECT",
    },
    "setting_versions": {STAFF: "SELECT, INSERT", AUDITOR: "SELECT"},
    "users": {
        STAFF: f"SELECT ({USER_COLUMNS}), INSERT, UPDATE ({USER_COLUMNS})",
        # Before sign-in: find the account, check and rehash the password. No patient's row is within reach.
        ANONYMOUS: "SELECT, UPDATE (password_hash, password_changed_at, must_change_password, version, updated_at)",
        PATIENT: f"SELECT ({PUBLIC_USER_COLUMNS})",
        WORKER: f"SELECT ({USER_COLUMNS})",
        AUDITOR: f"SELECT ({PUBLIC_USER_COLUMNS})",
    },
    "user_roles": {STAFF: "SELECT, INSERT, DELETE", ANONYMOUS: "SELECT", WORKER: "SELECT"},
    "user_versions": {STAFF: "SELECT, INSERT", ANONYMOUS: "INSERT", AUDITOR: "SELECT"},
    "role_versions": {STAFF: "SELECT, INSERT", AUDITOR: "SELECT"},
    "sessions": {STAFF: "SELECT, UPDATE", ANONYMOUS: "SELECT, INSERT, UPDATE", WORKER: "SELECT, DELETE"},
    "api_tokens": {
        STAFF: "SELECT, INSERT, UPDATE",
        ANONYMOUS: "SELECT, UPDATE (last_used_at)",
        WORKER: "SELECT",
    },
    "login_failures": {ANONYMOUS: "SELECT, INSERT, UPDATE, DELETE", WORKER: "SELECT, DELETE"},
    "rate_limit_log": {
        STAFF: "SELECT, INSERT",
        PATIENT: "INSERT",
        ANONYMOUS: "INSERT",
        WORKER: "SELECT, DELETE",
    },
    "identifier_lookups": {STAFF: "SELECT, INSERT", WORKER: "SELECT, DELETE"},
    "idempotency_keys": {STAFF: "SELECT, INSERT, DELETE", WORKER: "SELECT, DELETE"},
    "job_runs": {STAFF: "SELECT", WORKER: "SELECT, INSERT, UPDATE, DELETE"},
    "patients": {STAFF: "SELECT, INSERT, UPDATE", PATIENT: "SELECT", WORKER: "SELECT, INSERT, UPDATE"},
    "patient_versions": {STAFF: "SELECT, INSERT", WORKER: "SELECT, INSERT"},
    "allergies": {STAFF: "SELECT, INSERT, UPDATE", PATIENT: "SELECT", WORKER: "SELECT, INSERT, UPDATE"},
    "visits": {STAFF: "SELECT, INSERT, UPDATE", PATIENT: "SELECT", WORKER: "SELECT, INSERT"},
    "care_team_members": {
        STAFF: "SELECT, INSERT, UPDATE",
        PATIENT: "SELECT",
        WORKER: "SELECT, INSERT, UPDATE",
    },
    "break_glass_grants": {STAFF: "SELECT, INSERT, UPDATE", WORKER: "SELECT"},
    "notifications": {STAFF: "SELECT, INSERT, UPDATE", WORKER: "SELECT, INSERT, DELETE"},
    "medical_records": {STAFF: "SELECT, INSERT, UPDATE", PATIENT: "SELECT", WORKER: "SELECT, INSERT, UPDATE"},
    "record_versions": {STAFF: "SELECT, INSERT", PATIENT: "SELECT", WORKER: "SELECT, INSERT"},
    "drafts": {STAFF: "SELECT, INSERT, UPDATE, DELETE", WORKER: "SELECT, DELETE"},
    "import_jobs": {STAFF: "SELECT, INSERT, UPDATE", WORKER: "SELECT, INSERT, UPDATE, DELETE"},
    "import_files": {STAFF: "SELECT, INSERT", WORKER: "SELECT, INSERT, DELETE"},
    "import_rejects": {STAFF: "SELECT", WORKER: "SELECT, INSERT, DELETE"},
    "audit_outbox": {
        STAFF: "INSERT",
        PATIENT: "INSERT",
        ANONYMOUS: "INSERT",
        AUDITOR: "INSERT",
        WORKER: "SELECT, INSERT, DELETE",
    },
    "audit_trail": {WORKER: "SELECT, INSERT", AUDITOR: "SELECT"},
    "audit_checkpoints": {WORKER: "SELECT, INSERT", AUDITOR: "SELECT"},
}


def grant_all() -> None:
    op.execute(f"GRANT USAGE ON SCHEMA public TO {', '.join(EVERYONE)}")
    for table, roles in GRANTS.items():
        for role, privileges in roles.items():
            op.execute(f"GRANT {privileges} ON {table} TO {role}")
        op.execute(f"GRANT SELECT ON {table} TO {BACKUP}")
    for table in AUDITOR_READS:
        op.execute(f"GRANT SELECT ON {table} TO {AUDITOR}")
    op.execute(f"GRANT EXECUTE ON FUNCTION audit_trail_ensure_partition(timestamptz) TO {WORKER}")


def policy(table: str, name: str, role: str, command: str, using: str | None, check: str | None) -> None:
    clauses = (f" USING ({using})" if using else "") + (f" WITH CHECK ({check})" if check else "")
    op.execute(f"CREATE POLICY {table}_{name} ON {table} FOR {command} TO {role}{clauses}")


def secure_rows() -> None:
    for table in (*CLINICAL, *APPEND_ONLY):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        policy(table, "backup", BACKUP, "SELECT", "true", None)
    for table in CLINICAL:
        policy(table, "staff", STAFF, "ALL", "true", "true")
        policy(table, "worker", WORKER, "ALL", "true", "true")
        policy(table, "migrator", MIGRATOR, "ALL", "true", "true")
    for table in AUDITOR_READS:
        policy(table, "auditor", AUDITOR, "SELECT", "true", None)
    for table, column in OWN.items():
        policy(table, "patient", PATIENT, "SELECT", f"{column} = (SELECT sigilo_patient())", None)
    policy(
        "audit_outbox",
        "write",
        f"{STAFF}, {PATIENT}, {ANONYMOUS}, {AUDITOR}, {MIGRATOR}",
        "INSERT",
        None,
        "true",
    )
    policy("audit_outbox", "worker", WORKER, "ALL", "true", "true")
    for table in ("audit_trail", "audit_checkpoints"):
        policy(table, "read", f"{WORKER}, {AUDITOR}, {MIGRATOR}", "SELECT", "true", None)
        policy(table, "append", WORKER, "INSERT", None, "true")


def upgrade() -> None:
    grant_all()
    secure_rows()
    op.execute(
        "SELECT audit_trail_ensure_partition(now() + n * interval '1 month') FROM generate_series(0, 3) AS n"
    )


def downgrade() -> None:
    for table in (*CLINICAL, *APPEND_ONLY):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.execute(
        "DO $$ DECLARE p record; BEGIN FOR p IN SELECT policyname, tablename FROM pg_policies "
        "WHERE schemaname = 'public' LOOP EXECUTE format('DROP POLICY %I ON %I', p.policyname, p.tablename); "
        "END LOOP; END $$"
    )
    roles = ", ".join(EVERYONE)
    op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {roles}")
    # Column privileges are kept apart from table privileges.
    op.execute(f"REVOKE ALL ({USER_COLUMNS}, password_hash) ON users FROM {roles}")
    op.execute(f"REVOKE ALL (last_used_at) ON api_tokens FROM {roles}")
    op.execute(f"REVOKE EXECUTE ON FUNCTION audit_trail_ensure_partition(timestamptz) FROM {WORKER}")
    op.execute(f"REVOKE USAGE ON SCHEMA public FROM {roles}")
