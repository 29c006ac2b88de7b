"""Drafts belong to forms: a revision tells two tabs apart, and a new record's draft knows its visit and its amended
record. One person may have several drafts of one record: two tabs that wrote apart are both kept."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ONE_PER_RECORD = {
    "unique": True,
    "postgresql_where": sa.text("record_id IS NOT NULL"),
}


def upgrade() -> None:
    op.add_column("drafts", sa.Column("visit_id", sa.Uuid(), nullable=True))
    op.add_column("drafts", sa.Column("amends_id", sa.Uuid(), nullable=True))
    op.add_column("drafts", sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.create_foreign_key(op.f("fk_drafts_visit_id"), "drafts", "visits", ["visit_id"], ["id"])
    op.create_foreign_key(op.f("fk_drafts_amends_id"), "drafts", "medical_records", ["amends_id"], ["id"])
    op.drop_index("uq_drafts_record", "drafts")


def downgrade() -> None:
    # Of several drafts of one record the newest stays: the schema before has room for no other.
    op.execute(
        "DELETE FROM drafts d USING drafts n WHERE d.user_id = n.user_id AND d.record_id = n.record_id "
        "AND (d.updated_at, d.id) < (n.updated_at, n.id)"
    )
    op.create_index("uq_drafts_record", "drafts", ["user_id", "record_id"], **ONE_PER_RECORD)
    op.drop_constraint(op.f("fk_drafts_amends_id"), "drafts")
    op.drop_constraint(op.f("fk_drafts_visit_id"), "drafts")
    op.drop_column("drafts", "revision")
    op.drop_column("drafts", "amends_id")
    op.drop_column("drafts", "visit_id")
