"""A rule for unusual accesses that fails falls behind by itself; an alert that has doubled is told of again."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

STAFF, WORKER, AUDITOR, BACKUP = "sigilo_staff", "sigilo_worker", "sigilo_auditor", "sigilo_backup"


def upgrade() -> None:
    op.add_column("access_alerts", sa.Column("told_count", sa.Integer(), nullable=True))
    # Rows of an append-and-review table: the migrator, who may only read them, can't fill the column in.
    op.execute("ALTER TABLE access_alerts ALTER told_count TYPE integer USING count")
    op.alter_column("access_alerts", "told_count", nullable=False)
    op.execute(f"GRANT UPDATE (number, told_count) ON access_alerts TO {WORKER}")
    op.create_table(
        "access_watch_behind",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now() + interval '30 seconds'"),
            nullable=False,
        ),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("failures >= 1", name=op.f("ck_access_watch_behind_failed")),
        sa.PrimaryKeyConstraint("rule", name=op.f("pk_access_watch_behind")),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON access_watch_behind TO {WORKER}")
    # The page of the rules says that one is behind.
    op.execute(f"GRANT SELECT ON access_watch_behind TO {STAFF}, {AUDITOR}, {BACKUP}")


def downgrade() -> None:
    op.drop_table("access_watch_behind")
    op.execute(f"REVOKE UPDATE (number) ON access_alerts FROM {WORKER}")
    op.drop_column("access_alerts", "told_count")
