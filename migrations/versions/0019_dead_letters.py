"""Background work that failed for good, for an operator to see; and what a run of a timed job did, part by part."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ACTED_ON = "retried_at, retried_by, resolved_at, dismissed_by, dismissal_reason"


def upgrade() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("arguments", postgresql.JSONB(), nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_failed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("retried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retried_by", sa.Uuid(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dismissed_by", sa.Uuid(), nullable=True),
        sa.Column("dismissal_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("error ~ '^[A-Za-z_][A-Za-z0-9_]*$'", name=op.f("ck_dead_letters_error_is_a_name")),
        sa.CheckConstraint(
            "jsonb_typeof(arguments) = 'object' AND octet_length(arguments::text) <= 2000",
            name=op.f("ck_dead_letters_arguments_shape"),
        ),
        sa.CheckConstraint("(retried_at IS NULL) = (retried_by IS NULL)", name=op.f("ck_dead_letters_retried")),
        sa.CheckConstraint(
            "(dismissed_by IS NULL) = (dismissal_reason IS NULL)"
            " AND (dismissed_by IS NULL OR resolved_at IS NOT NULL)",
            name=op.f("ck_dead_letters_dismissed"),
        ),
        sa.ForeignKeyConstraint(["retried_by"], ["users.id"], name=op.f("fk_dead_letters_retried_by")),
        sa.ForeignKeyConstraint(["dismissed_by"], ["users.id"], name=op.f("fk_dead_letters_dismissed_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
    )
    op.create_index(
        "uq_dead_letters_work", "dead_letters", ["task", "arguments"], unique=True,
        postgresql_where=sa.text("dismissed_by IS NULL"),
    )  # fmt: skip
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letters TO sigilo_worker")
    op.execute("GRANT SELECT ON dead_letters TO sigilo_staff, sigilo_auditor, sigilo_backup")
    op.execute(f"GRANT UPDATE ({ACTED_ON}) ON dead_letters TO sigilo_staff")
    # Counts them for Prometheus, and learns nothing else of them.
    op.execute("GRANT SELECT (resolved_at) ON dead_letters TO sigilo_anonymous")
    op.add_column("job_runs", sa.Column("counts", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("job_runs", "counts")
    op.drop_table("dead_letters")
