"""The web's roles may end and review an emergency access; its reason, patient, person and beginning stay as written."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

CHANGES = "expires_at, reviewed_at, reviewed_by, verdict, review_note"


def upgrade() -> None:
    op.execute("REVOKE UPDATE ON break_glass_grants FROM sigilo_staff")
    op.execute(f"GRANT UPDATE ({CHANGES}) ON break_glass_grants TO sigilo_staff")


def downgrade() -> None:
    op.execute(f"REVOKE UPDATE ({CHANGES}) ON break_glass_grants FROM sigilo_staff")
    op.execute("GRANT UPDATE ON break_glass_grants TO sigilo_staff")
