"""A schema says which programs it serves, so that the release before the newest stays ready while it drains, and can be
gone back to. Programs of before this one ask for exactly their own revision.

A migration that takes away what an older program uses is one of its own, in a release after the one that stopped using
it, and says so: UPDATE schema_floor SET revision = '…', the revision of the first program that does without.
"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0033"
branch_labels = None
depends_on = None

EVERYONE = (
    "sigilo_staff, sigilo_patient, sigilo_anonymous, sigilo_worker, sigilo_auditor, sigilo_backup"  # as alembic_version
)


def upgrade() -> None:
    op.create_table(
        "schema_floor",
        sa.Column("is_only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.CheckConstraint("is_only", name=op.f("ck_schema_floor_one_row")),
        sa.PrimaryKeyConstraint("is_only", name=op.f("pk_schema_floor")),
    )
    op.execute("INSERT INTO schema_floor (revision) VALUES ('0037')")
    op.execute(f"GRANT SELECT ON schema_floor TO {EVERYONE}")


def downgrade() -> None:
    op.drop_table("schema_floor")
