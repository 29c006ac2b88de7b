"""Single-use links to choose a password, roles that wait for a second approver, and the previous password.

The database is the second wall here too: staff can't read or plant a link's secret, visitors see only links
that were sent, and no row can say that somebody approved their own request.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STAFF, ANONYMOUS, WORKER = "sigilo_staff", "sigilo_anonymous", "sigilo_worker"
AUDITOR, BACKUP, MIGRATOR = "sigilo_auditor", "sigilo_backup", "sigilo_migrator"

# Everything but secret_hash: no administrator's page can come near a secret.
LINK_COLUMNS = (
    "id, user_id, kind, requested_by, requested_at, attempts, next_attempt_at, sent_at, expires_at, used_at, "
    "withdrawn_at, failed_at, failure"
)
NEW_LINK_COLUMNS = "id, user_id, kind, requested_by"

# table → role → privileges. What is not here is refused.
GRANTS = {
    "password_links": {
        STAFF: f"SELECT ({LINK_COLUMNS}), INSERT ({NEW_LINK_COLUMNS}), UPDATE (withdrawn_at)",
        ANONYMOUS: "SELECT, UPDATE (used_at)",
        WORKER: "SELECT, UPDATE, DELETE",
        BACKUP: "SELECT",
    },
    "role_requests": {
        STAFF: "SELECT, INSERT, UPDATE (decided_by, decided_at, outcome, decision_reason)",
        AUDITOR: "SELECT",
        BACKUP: "SELECT",
    },
}
# table, name, role, command, using, check
POLICIES = (
    ("password_links", "staff", STAFF, "ALL", "true", "true"),
    ("password_links", "sent", ANONYMOUS, "ALL", "secret_hash IS NOT NULL", "secret_hash IS NOT NULL"),
    ("password_links", "worker", WORKER, "ALL", "true", "true"),
    ("password_links", "migrator", MIGRATOR, "ALL", "true", "true"),
    ("password_links", "backup", BACKUP, "SELECT", "true", None),
    ("role_requests", "staff", STAFF, "ALL", "true", "true"),
    ("role_requests", "auditor", AUDITOR, "SELECT", "true", None),
    ("role_requests", "migrator", MIGRATOR, "ALL", "true", "true"),
    ("role_requests", "backup", BACKUP, "SELECT", "true", None),
)


def upgrade() -> None:
    op.create_table(
        "password_links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Uuid(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('invitation', 'reset')", name=op.f("ck_password_links_kind_known")),
        sa.CheckConstraint("octet_length(secret_hash) = 32", name=op.f("ck_password_links_secret_hash_length")),
        sa.CheckConstraint(
            "(secret_hash IS NULL) = (expires_at IS NULL)", name=op.f("ck_password_links_secret_expires")
        ),
        sa.CheckConstraint(
            "failure IS NULL OR failure IN ('refused', 'unreachable')", name=op.f("ck_password_links_failure_known")
        ),
        sa.ForeignKeyConstraint(["requested_by"], ["users.id"], name=op.f("fk_password_links_requested_by")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_password_links_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_links")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_password_links_secret_hash")),
    )
    op.create_index("ix_password_links_user_id", "password_links", ["user_id", "id"])
    op.create_index(
        "ix_password_links_waiting",
        "password_links",
        ["next_attempt_at"],
        postgresql_where=sa.text("sent_at IS NULL AND withdrawn_at IS NULL AND failed_at IS NULL"),
    )
    op.create_table(
        "role_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Uuid(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("decision_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome IN ('approved', 'declined')", name=op.f("ck_role_requests_outcome_known")
        ),
        sa.CheckConstraint(
            "(outcome IS NULL) = (decided_at IS NULL) AND (outcome IS NULL) = (decided_by IS NULL)",
            name=op.f("ck_role_requests_decided_whole"),
        ),
        sa.CheckConstraint("requested_by <> user_id", name=op.f("ck_role_requests_not_for_oneself")),
        sa.CheckConstraint(
            "outcome IS DISTINCT FROM 'approved' OR decided_by NOT IN (requested_by, user_id)",
            name=op.f("ck_role_requests_two_people"),
        ),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 1000", name=op.f("ck_role_requests_reason_length")),
        sa.ForeignKeyConstraint(["decided_by"], ["users.id"], name=op.f("fk_role_requests_decided_by")),
        sa.ForeignKeyConstraint(["requested_by"], ["users.id"], name=op.f("fk_role_requests_requested_by")),
        sa.ForeignKeyConstraint(["role"], ["roles.name"], name=op.f("fk_role_requests_role")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_role_requests_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_requests")),
    )
    op.create_index(
        "uq_role_requests_open",
        "role_requests",
        ["user_id", "role"],
        unique=True,
        postgresql_where=sa.text("decided_at IS NULL"),
    )
    op.add_column("users", sa.Column("previous_password_hash", sa.Text(), nullable=True))
    op.execute(f"GRANT UPDATE (previous_password_hash) ON users TO {ANONYMOUS}")
    for table, roles in GRANTS.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        for role, privileges in roles.items():
            op.execute(f"GRANT {privileges} ON {table} TO {role}")
    for table, name, role, command, using, check in POLICIES:
        clauses = (f" USING ({using})" if using else "") + (f" WITH CHECK ({check})" if check else "")
        op.execute(f"CREATE POLICY {table}_{name} ON {table} FOR {command} TO {role}{clauses}")


def downgrade() -> None:
    op.drop_column("users", "previous_password_hash")
    op.drop_table("role_requests")
    op.drop_table("password_links")
