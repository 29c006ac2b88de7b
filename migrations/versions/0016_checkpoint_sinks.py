"""What each place outside of the database has of the checkpoints, and what is owed to it."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "checkpoint_sinks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.CheckConstraint("(sequence IS NULL) = (delivered_at IS NULL)", name=op.f("ck_checkpoint_sinks_delivered")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_checkpoint_sinks")),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON checkpoint_sinks TO sigilo_worker")
    op.execute("GRANT SELECT ON checkpoint_sinks TO sigilo_staff, sigilo_auditor, sigilo_backup")


def downgrade() -> None:
    op.drop_table("checkpoint_sinks")
