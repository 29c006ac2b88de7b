"""That the trail was not intact stays said until an auditor has taken note of it.

What the last check found is replaced by the next one's, and failed work can be dismissed by who keeps the server; neither
is to make it unsaid. The worker raises it, an auditor takes note of it, and no role of the application deletes it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

STAFF, WORKER, AUDITOR, BACKUP = "sigilo_staff", "sigilo_worker", "sigilo_auditor", "sigilo_backup"
CHECKS = {
    "noted_whole": "num_nulls(noted_at, noted_by, note) IN (0, 3)",
    "note_length": "length(note) BETWEEN 1 AND 2000",
    "counted": "places >= 1",
}


def upgrade() -> None:
    op.create_table(
        "audit_alarms",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_found_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("noted_by", sa.Uuid(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_audit_alarms_{name}")) for name, rule in CHECKS.items()),
        sa.ForeignKeyConstraint(["noted_by"], ["users.id"], name=op.f("fk_audit_alarms_noted_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_alarms")),
    )
    op.create_index(
        "uq_audit_alarms_open", "audit_alarms", [sa.text("(noted_at IS NULL)")], unique=True,
        postgresql_where=sa.text("noted_at IS NULL"),
    )  # fmt: skip
    op.execute(f"GRANT SELECT, INSERT, UPDATE (last_found_at, places) ON audit_alarms TO {WORKER}")
    op.execute(f"GRANT SELECT, UPDATE (noted_at, noted_by, note) ON audit_alarms TO {AUDITOR}")
    op.execute(f"GRANT SELECT ON audit_alarms TO {STAFF}, {BACKUP}")


def downgrade() -> None:
    op.drop_table("audit_alarms")
