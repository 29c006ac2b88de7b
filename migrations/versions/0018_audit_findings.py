"""What the last check of the trail found wrong, so that a page can name it."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_findings",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=True),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_findings")),
    )
    op.execute("GRANT SELECT, INSERT, DELETE ON audit_findings TO sigilo_worker")
    op.execute("GRANT SELECT ON audit_findings TO sigilo_staff, sigilo_auditor, sigilo_backup")


def downgrade() -> None:
    op.drop_table("audit_findings")
