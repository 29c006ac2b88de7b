"""What an asker saw in all, since when a question waits for a model that answers others, and why rules answered."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

WORKER = "sigilo_worker"
REASONS = "'UNAVAILABLE', 'BUSY', 'TAKEN', 'MISSING', 'PROMPT_TOO_LONG', 'ANSWER_INVALID', 'ANSWER_TOO_LONG'"
FALLBACK_KNOWN = f"fallback_reason IS NULL OR (fallback_reason IN ({REASONS}) AND engine = 'RULES')"


def upgrade() -> None:
    op.add_column("ai_requests", sa.Column("visible", postgresql.JSONB(), nullable=True))
    op.add_column("ai_requests", sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("ai_requests", sa.Column("fallback_reason", sa.Text(), nullable=True))
    op.create_check_constraint(op.f("ck_ai_requests_fallback_known"), "ai_requests", FALLBACK_KNOWN)
    op.execute(f"GRANT UPDATE (taken_at, fallback_reason) ON ai_requests TO {WORKER}")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_ai_requests_fallback_known"), "ai_requests")
    for column in ("fallback_reason", "taken_at", "visible"):
        op.drop_column("ai_requests", column)
