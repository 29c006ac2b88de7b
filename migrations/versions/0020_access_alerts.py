"""Unusual accesses found in the trail, their review, who was told of them, and why a setting was changed.

The worker finds and adds to them, auditors read and review them; no other role of the web reaches a row. That
something is new is told to staff's pages by a function that says nothing else.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

STAFF, WORKER, AUDITOR = "sigilo_staff", "sigilo_worker", "sigilo_auditor"
BACKUP, MIGRATOR = "sigilo_backup", "sigilo_migrator"

CHECKS = {
    "verdict_known": "verdict IN ('JUSTIFIED', 'NOT_JUSTIFIED', 'FALSE_ALARM')",
    "reviewed_whole": "num_nulls(reviewed_at, reviewed_by, verdict) IN (0, 3)",
    "reviewed_by_another": "reviewed_by <> user_id",
    "review_note_length": "length(review_note) <= 2000",
    "in_order": "ends_at >= started_at AND last_at >= started_at",
    "counted": "count >= 1 AND cardinality(patient_ids) <= 100",
}
# name, role, command, using, check
POLICIES = (
    ("worker", WORKER, "ALL", "true", "true"),
    ("auditor_read", AUDITOR, "SELECT", "true", None),
    ("auditor_review", AUDITOR, "UPDATE", "verdict IS NULL", "verdict IS NOT NULL"),
    ("read", f"{MIGRATOR}, {BACKUP}", "SELECT", "true", None),
)
REVIEW = "reviewed_at, reviewed_by, verdict, review_note"
FOUND = "last_at, last_sequence, count, patient_ids"

# Runs as its owner, for staff's pages ask for everybody whether anything is new. Answered from indexes: it is asked
# several times a second. A review changes how many are open.
STATE = """
CREATE FUNCTION access_alerts_state() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT coalesce((SELECT max(a.number) FROM access_alerts a), 0) || '|' || (
        SELECT count(*) || '|' || coalesce(sum(a.count), 0) FROM access_alerts a WHERE a.reviewed_at IS NULL
    )
$$
"""


def upgrade() -> None:
    op.add_column("setting_versions", sa.Column("reason", sa.Text(), nullable=True))
    op.create_table(
        "access_alerts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("acting_role", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_sequence", sa.BigInteger(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("threshold", sa.Integer(), nullable=False),
        sa.Column("window_minutes", sa.Integer(), nullable=True),
        sa.Column("patient_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reviewed_by", sa.Uuid(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("review_note", sa.Text(), nullable=True),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_access_alerts_{name}")) for name, rule in CHECKS.items()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_access_alerts_user_id")),
        sa.ForeignKeyConstraint(["reviewed_by"], ["users.id"], name=op.f("fk_access_alerts_reviewed_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_alerts")),
    )
    op.create_index("uq_access_alerts_number", "access_alerts", ["number"], unique=True)
    op.create_index(
        "uq_access_alerts_found", "access_alerts", ["rule", "user_id", "subject_id", "started_at"], unique=True
    )
    op.create_index(
        "ix_access_alerts_open", "access_alerts", ["number"], postgresql_where=sa.text("reviewed_at IS NULL")
    )
    op.create_table(
        "access_watch",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_access_watch_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_watch")),
    )
    op.create_table(
        "access_alert_digests",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("told_number", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_access_alert_digests_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_access_alert_digests")),
    )
    # What lies years back is not looked through: from now on.
    op.execute("INSERT INTO access_watch (id, sequence) SELECT 1, coalesce(max(sequence), 0) FROM audit_trail")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ({FOUND}) ON access_alerts TO {WORKER}")
    op.execute(f"GRANT SELECT, UPDATE ({REVIEW}) ON access_alerts TO {AUDITOR}")
    op.execute(f"GRANT SELECT, UPDATE (sequence) ON access_watch TO {WORKER}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON access_alert_digests TO {WORKER}")
    op.execute(f"GRANT SELECT ON access_alerts, access_watch, access_alert_digests TO {BACKUP}")
    op.execute("ALTER TABLE access_alerts ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE access_alerts FORCE ROW LEVEL SECURITY")
    for name, role, command, using, check in POLICIES:
        clauses = (f" USING ({using})" if using else "") + (f" WITH CHECK ({check})" if check else "")
        op.execute(f"CREATE POLICY access_alerts_{name} ON access_alerts FOR {command} TO {role}{clauses}")
    op.execute(STATE)
    op.execute("REVOKE ALL ON FUNCTION access_alerts_state() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION access_alerts_state() TO {STAFF}")


def downgrade() -> None:
    op.execute("DROP FUNCTION access_alerts_state()")
    op.drop_table("access_alert_digests")
    op.drop_table("access_watch")
    op.drop_table("access_alerts")
    op.drop_column("setting_versions", "reason")
