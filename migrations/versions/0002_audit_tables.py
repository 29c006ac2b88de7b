"""The audit outbox, the partitioned trail, checkpoints, and the runs of timed jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHANGES_SHAPE = (
    "jsonb_typeof(changes) = 'array'"
    " AND NOT jsonb_path_exists(changes, '$[*] ? (@.type() != \"object\")')"
    " AND NOT jsonb_path_exists(changes, '$[*].* ? (@.type() != \"string\" && @.type() != \"null\")')"
)


def upgrade() -> None:
    op.create_table(
        "audit_checkpoints",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit_checkpoints")),
    )
    op.create_table(
        "audit_outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_role", sa.Text(), nullable=True),
        sa.Column("entity_type", sa.Text(), nullable=True),
        sa.Column("entity_id", sa.Uuid(), nullable=True),
        sa.Column("entity_ids", sa.ARRAY(sa.Uuid()), nullable=True),
        sa.Column("patient_id", sa.Uuid(), nullable=True),
        sa.Column("from_version", sa.Integer(), nullable=True),
        sa.Column("to_version", sa.Integer(), nullable=True),
        sa.Column("changes", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("basis", sa.Text(), nullable=True),
        sa.Column("basis_id", sa.Uuid(), nullable=True),
        sa.Column("ip", postgresql.INET(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('success', 'refused', 'failure')", name=op.f("ck_audit_outbox_outcome_known")
        ),
        sa.CheckConstraint("isfinite(occurred_at)", name=op.f("ck_audit_outbox_occurred_at_finite")),
        sa.CheckConstraint(CHANGES_SHAPE, name=op.f("ck_audit_outbox_changes_shape")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_outbox")),
    )
    op.create_table(
        "audit_trail",
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_role", sa.Text(), nullable=True),
        sa.Column("entity_type", sa.Text(), nullable=True),
        sa.Column("entity_id", sa.Uuid(), nullable=True),
        sa.Column("entity_ids", sa.ARRAY(sa.Uuid()), nullable=True),
        sa.Column("patient_id", sa.Uuid(), nullable=True),
        sa.Column("from_version", sa.Integer(), nullable=True),
        sa.Column("to_version", sa.Integer(), nullable=True),
        sa.Column("changes", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("basis", sa.Text(), nullable=True),
        sa.Column("basis_id", sa.Uuid(), nullable=True),
        sa.Column("ip", postgresql.INET(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("octet_length(hash) = 32", name=op.f("ck_audit_trail_hash_length")),
        sa.PrimaryKeyConstraint("sealed_at", "sequence", name=op.f("pk_audit_trail")),
        postgresql_partition_by="RANGE (sealed_at)",
    )
    op.create_index(
        "ix_audit_trail_actor_id",
        "audit_trail",
        ["actor_id", sa.literal_column("sequence DESC")],
        unique=False,
    )
    op.create_index(
        "ix_audit_trail_entity_id",
        "audit_trail",
        ["entity_id", sa.literal_column("sequence DESC")],
        unique=False,
    )
    op.create_index(
        "ix_audit_trail_entity_ids", "audit_trail", ["entity_ids"], unique=False, postgresql_using="gin"
    )
    op.create_index(
        "ix_audit_trail_patient_id",
        "audit_trail",
        ["patient_id", sa.literal_column("sequence DESC")],
        unique=False,
    )
    op.create_index(
        "ix_audit_trail_sequence", "audit_trail", [sa.literal_column("sequence DESC")], unique=False
    )
    op.create_table(
        "job_runs",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("job", "slot", name=op.f("pk_job_runs")),
    )
    op.create_index(
        "ix_job_runs_started_at", "job_runs", [sa.literal_column("started_at DESC")], unique=False
    )


def downgrade() -> None:
    op.drop_table("job_runs")
    op.drop_table("audit_trail")
    op.drop_table("audit_outbox")
    op.drop_table("audit_checkpoints")
