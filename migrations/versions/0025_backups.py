"""Backups, their drills, and the keys of drills: work that is a row, and what of it the web may see."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

TABLES = ("backup_keys", "backup_drills", "backups")


def moment(name: str, *, default: bool = False) -> sa.Column:
    given = {"server_default": sa.text("now()")} if default else {}
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not default, **given)


def upgrade() -> None:
    op.create_table(
        "backups",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="PENDING", nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Uuid(), nullable=True),
        moment("created_at", default=True),
        moment("started_at"),
        moment("heartbeat_at"),
        moment("finished_at"),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("store", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("manifest", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        moment("verified_at"),
        moment("pruned_at"),
        sa.CheckConstraint(
            "state IN ('PENDING', 'RUNNING', 'DONE', 'VERIFIED', 'FAILED')", name=op.f("ck_backups_state_known")
        ),
        sa.CheckConstraint(
            "origin IN ('SCHEDULED', 'REQUESTED', 'COMMAND', 'AGAIN', 'FOUND')", name=op.f("ck_backups_origin_known")
        ),
        sa.CheckConstraint(
            "(state IN ('DONE', 'VERIFIED')) = (manifest IS NOT NULL)"
            " AND (manifest IS NULL OR (name IS NOT NULL AND store IS NOT NULL AND size IS NOT NULL))",
            name=op.f("ck_backups_stored"),
        ),
        sa.CheckConstraint("(state = 'FAILED') = (failure IS NOT NULL)", name=op.f("ck_backups_failed")),
        sa.CheckConstraint(
            "(state IN ('PENDING', 'RUNNING')) = (finished_at IS NULL)", name=op.f("ck_backups_finished")
        ),
        sa.CheckConstraint("state <> 'VERIFIED' OR verified_at IS NOT NULL", name=op.f("ck_backups_verified")),
        sa.ForeignKeyConstraint(["requested_by"], ["users.id"], name=op.f("fk_backups_requested_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backups")),
    )
    op.create_index(
        "uq_backups_at_work", "backups", ["state"], unique=True,
        postgresql_where=sa.text("state IN ('PENDING', 'RUNNING')"),
    )  # fmt: skip
    op.create_index("ix_backups_finished_at", "backups", ["finished_at"])
    op.create_table(
        "backup_drills",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("backup_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="RUNNING", nullable=False),
        moment("started_at", default=True),
        moment("heartbeat_at", default=True),
        moment("finished_at"),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("restore_seconds", sa.Float(), nullable=True),
        sa.Column("checks", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('RUNNING', 'PASSED', 'FAILED')", name=op.f("ck_backup_drills_state_known")),
        sa.CheckConstraint("(state = 'RUNNING') = (finished_at IS NULL)", name=op.f("ck_backup_drills_finished")),
        sa.CheckConstraint("(state = 'FAILED') = (failure IS NOT NULL)", name=op.f("ck_backup_drills_failed")),
        sa.ForeignKeyConstraint(["backup_id"], ["backups.id"], name=op.f("fk_backup_drills_backup_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup_drills")),
    )
    op.create_index("ix_backup_drills_backup_id", "backup_drills", ["backup_id", "started_at"])
    op.create_table(
        "backup_keys",
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        moment("created_at", default=True),
        moment("retired_at"),
        moment("destroyed_at"),
        sa.CheckConstraint(
            "destroyed_at IS NULL OR retired_at IS NOT NULL", name=op.f("ck_backup_keys_retired_first")
        ),
        sa.PrimaryKeyConstraint("recipient", name=op.f("pk_backup_keys")),
    )
    op.create_index(
        "uq_backup_keys_current", "backup_keys", ["holder"], unique=True, postgresql_where=sa.text("retired_at IS NULL")
    )
    for table in TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO sigilo_worker")
        op.execute(f"GRANT SELECT ON {table} TO sigilo_staff, sigilo_auditor, sigilo_backup")
    # Whoever asks for one writes a row that waits, and nothing that looks like a backup.
    op.execute("GRANT INSERT (id, origin, requested_by) ON backups TO sigilo_staff")
    # Counts and times for Prometheus, and nothing else of them.
    op.execute("GRANT SELECT (id, state, finished_at, verified_at, pruned_at) ON backups TO sigilo_anonymous")
    op.execute(
        "GRANT SELECT (id, backup_id, state, started_at, finished_at, restore_seconds) ON backup_drills"
        " TO sigilo_anonymous"
    )
    # A dump needs every sequence and table; what later migrations make is not to be forgotten.
    op.execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO sigilo_backup")
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON SEQUENCES TO sigilo_backup")
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO sigilo_backup")


def downgrade() -> None:
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM sigilo_backup")
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON SEQUENCES FROM sigilo_backup")
    op.execute("REVOKE SELECT ON ALL SEQUENCES IN SCHEMA public FROM sigilo_backup")
    for table in TABLES:
        op.drop_table(table)
