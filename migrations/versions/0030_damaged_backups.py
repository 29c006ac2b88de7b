"""A drill says whether what it found says anything about the backup: if not, it is made again."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "backup_drills", sa.Column("is_damaged", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("backup_drills", "is_damaged")
