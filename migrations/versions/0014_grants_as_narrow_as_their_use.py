"""The web's and the worker's roles may write what the code writes, and no column or state beside it.

A request for a role begins undecided and is decided once; a link that was withdrawn or used stays so; no row says that
an administrator gave a role to themselves, or one that needs a second approver without it; a final verdict on an
emergency access is final.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

STAFF, ANONYMOUS, WORKER = "sigilo_staff", "sigilo_anonymous", "sigilo_worker"
BACKUP, MIGRATOR = "sigilo_backup", "sigilo_migrator"

NEW_REQUEST = "id, user_id, role, reason, requested_by"
SENDING = "secret_hash, expires_at, attempts, next_attempt_at, sent_at, failed_at, failure"
# Operators give roles at the server, where no second person is asked: such a row names nobody.
APPROVED = """
    granted_by IS NULL OR role NOT IN ('DOCTOR', 'NURSE', 'ADMIN') OR EXISTS (
        SELECT FROM role_requests q
        WHERE q.user_id = user_roles.user_id AND q.role = user_roles.role AND q.outcome = 'approved')
"""
# table, name, role, command, using, check
ROLE_POLICIES = (
    ("user_roles", "staff_read", STAFF, "SELECT", "true", None),
    ("user_roles", "staff_grant", STAFF, "INSERT", None, APPROVED),
    ("user_roles", "staff_remove", STAFF, "DELETE", "true", None),
    ("user_roles", "read", f"{ANONYMOUS}, {WORKER}, {BACKUP}", "SELECT", "true", None),
    ("user_roles", "migrator", MIGRATOR, "ALL", "true", "true"),
)
# Beside what permits: these only narrow.
RESTRICTIONS = (
    ("role_requests", "decided_once", STAFF, "decided_at IS NULL", "decided_at IS NOT NULL"),
    ("password_links", "withdrawn_once", STAFF, "withdrawn_at IS NULL", "withdrawn_at IS NOT NULL"),
    ("password_links", "used_once", ANONYMOUS, "used_at IS NULL", "used_at IS NOT NULL"),
    ("break_glass_grants", "final_verdict", STAFF, "verdict IS NULL OR verdict = 'FOLLOW_UP'", "true"),
)


def upgrade() -> None:
    op.execute(f"REVOKE INSERT ON role_requests FROM {STAFF}")
    op.execute(f"GRANT INSERT ({NEW_REQUEST}) ON role_requests TO {STAFF}")
    op.execute(f"REVOKE UPDATE ON password_links FROM {WORKER}")
    op.execute(f"GRANT UPDATE ({SENDING}) ON password_links TO {WORKER}")
    op.create_check_constraint(
        op.f("ck_user_roles_not_by_oneself"), "user_roles", sa.text("granted_by <> user_id")
    )
    op.execute("ALTER TABLE user_roles ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE user_roles FORCE ROW LEVEL SECURITY")
    for table, name, role, command, using, check in ROLE_POLICIES:
        clauses = (f" USING ({using})" if using else "") + (f" WITH CHECK ({check})" if check else "")
        op.execute(f"CREATE POLICY {table}_{name} ON {table} FOR {command} TO {role}{clauses}")
    for table, name, role, using, check in RESTRICTIONS:
        op.execute(
            f"CREATE POLICY {table}_{name} ON {table} AS RESTRICTIVE FOR UPDATE TO {role} "
            f"USING ({using}) WITH CHECK ({check})"
        )


def downgrade() -> None:
    for table, name, *_ in RESTRICTIONS:
        op.execute(f"DROP POLICY {table}_{name} ON {table}")
    for table, name, *_ in ROLE_POLICIES:
        op.execute(f"DROP POLICY {table}_{name} ON {table}")
    op.execute("ALTER TABLE user_roles NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE user_roles DISABLE ROW LEVEL SECURITY")
    op.drop_constraint(op.f("ck_user_roles_not_by_oneself"), "user_roles")
    op.execute(f"REVOKE UPDATE ({SENDING}) ON password_links FROM {WORKER}")
    op.execute(f"GRANT UPDATE ON password_links TO {WORKER}")
    op.execute(f"REVOKE INSERT ({NEW_REQUEST}) ON role_requests FROM {STAFF}")
    op.execute(f"GRANT INSERT ON role_requests TO {STAFF}")
