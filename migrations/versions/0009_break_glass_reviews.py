"""What a review of an emergency access says: one of three verdicts, with a note, never by whoever had the access."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

CHECKS = {
    "verdict_known": "verdict IN ('JUSTIFIED', 'NOT_JUSTIFIED', 'FOLLOW_UP')",
    "reviewed_whole": "num_nulls(reviewed_at, reviewed_by, verdict) IN (0, 3)",
    "reviewed_by_another": "reviewed_by <> user_id",
    "review_note_length": "length(review_note) <= 2000",
}


def upgrade() -> None:
    op.add_column("break_glass_grants", sa.Column("review_note", sa.Text(), nullable=True))
    for name, condition in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_break_glass_grants_{name}"), "break_glass_grants", condition)


def downgrade() -> None:
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_break_glass_grants_{name}"), "break_glass_grants")
    op.drop_column("break_glass_grants", "review_note")
