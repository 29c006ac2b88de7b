"""Of what a drill took, how long it read from the store and how long it checked: a restore takes all three steps. And
whoever measures sees whether a drill found its backup damaged or could not be made, and which alarms about the trail an
auditor took note of: what was noted is no longer told of.
"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

COLUMNS = ("fetch_seconds", "check_seconds")
SEEN = {"backup_drills": "is_damaged", "audit_alarms": "noted_at, places"}


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("backup_drills", sa.Column(name, sa.Float(), nullable=True))
    for table, columns in SEEN.items():
        op.execute(f"GRANT SELECT ({columns}) ON {table} TO sigilo_anonymous")


def downgrade() -> None:
    for table, columns in SEEN.items():
        op.execute(f"REVOKE SELECT ({columns}) ON {table} FROM sigilo_anonymous")
    for name in reversed(COLUMNS):
        op.drop_column("backup_drills", name)
