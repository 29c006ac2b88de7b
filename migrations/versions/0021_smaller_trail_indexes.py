"""The trail's indexes grow in the direction that it does.

An index in descending order is written at its left end, where every full page is split in halves; ascending it fills
its pages, and is read backwards as fast. The key begins with the sequence, so it needs no index beside it.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

PER_WHOM = ("patient_id", "actor_id", "entity_id")


def upgrade() -> None:
    _replace("", "sequence, sealed_at")
    op.execute("DROP INDEX ix_audit_trail_sequence")


def downgrade() -> None:
    _replace(" DESC", "sealed_at, sequence")
    op.execute("CREATE INDEX ix_audit_trail_sequence ON audit_trail (sequence DESC)")


def _replace(direction: str, key: str) -> None:
    for column in PER_WHOM:
        op.execute(f"DROP INDEX ix_audit_trail_{column}")
        op.execute(f"CREATE INDEX ix_audit_trail_{column} ON audit_trail ({column}, sequence{direction})")
    op.execute("ALTER TABLE audit_trail DROP CONSTRAINT pk_audit_trail")
    op.execute(f"ALTER TABLE audit_trail ADD CONSTRAINT pk_audit_trail PRIMARY KEY ({key})")
