"""The CID-10 table. It says nothing of any patient: whoever signed in may read it, and only the operator changes it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

TABLES = ("cid10_codes", "cid10_releases")


def upgrade() -> None:
    op.create_table(
        "cid10_releases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("categories", sa.Integer(), nullable=False),
        sa.Column("subcategories", sa.Integer(), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("in_force", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.CheckConstraint("origin IN ('DATASUS', 'DEMO')", name=op.f("ck_cid10_releases_origin_known")),
        sa.CheckConstraint("in_force = (replaced_at IS NULL)", name=op.f("ck_cid10_releases_replaced")),
        sa.CheckConstraint("octet_length(sha256) = 32", name=op.f("ck_cid10_releases_digest_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cid10_releases")),
    )
    op.create_index(
        "uq_cid10_releases_in_force", "cid10_releases", ["in_force"], unique=True, postgresql_where=sa.text("in_force")
    )
    op.create_table(
        "cid10_codes",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("release_id", sa.Uuid(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("is_subdivided", sa.Boolean(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("short_description", sa.Text(), nullable=True),
        sa.Column("sex", sa.Text(), nullable=True),
        sa.Column("causes_death", sa.Boolean(), nullable=False),
        sa.Column("classification", sa.Text(), nullable=True),
        sa.Column("refers_to", sa.Text(), nullable=True),
        sa.Column("replaces", sa.Text(), nullable=True),
        sa.Column(
            "search", postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('portuguese'::regconfig, sigilo_fold(description))", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint("code ~ '^[A-Z][0-9]{2}([.][0-9])?$'", name=op.f("ck_cid10_codes_code_form")),
        sa.CheckConstraint("category = left(code, 3)", name=op.f("ck_cid10_codes_category_of_code")),
        sa.CheckConstraint(
            "NOT is_subdivided OR code = category", name=op.f("ck_cid10_codes_categories_are_subdivided")
        ),
        sa.CheckConstraint(
            "length(description) BETWEEN 1 AND 400", name=op.f("ck_cid10_codes_description_length")
        ),
        sa.CheckConstraint("sex IN ('FEMALE', 'MALE')", name=op.f("ck_cid10_codes_sex_known")),
        sa.CheckConstraint("classification IN ('+', '*')", name=op.f("ck_cid10_codes_classification_known")),
        sa.ForeignKeyConstraint(["release_id"], ["cid10_releases.id"], name=op.f("fk_cid10_codes_release_id")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_cid10_codes")),
    )  # fmt: skip
    op.create_index("ix_cid10_codes_search", "cid10_codes", ["search"], postgresql_using="gin")
    for table in TABLES:
        op.execute(f"GRANT SELECT ON {table} TO sigilo_staff, sigilo_patient, sigilo_worker, sigilo_auditor")


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
