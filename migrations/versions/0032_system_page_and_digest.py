"""How many events each hour sealed, and how long they waited for it: what the system page draws of what administrators
may not read. And which administrator was told by mail how all of it stands."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

# Runs as its owner, as audit_standing() does, and says nothing of any event. A busy minute has one checkpoint, so a day
# has some 1,500: a number and one event of each minute are looked up, where counting would read all of them.
HOURS = """
CREATE FUNCTION audit_hours(since timestamptz)
RETURNS TABLE (at timestamptz, sealed bigint, longest_wait double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT hours.at, hours.sealed, hours.longest_wait
    FROM (
        SELECT date_trunc('hour', c.created_at) AS at,
            max(c.sequence) - lag(max(c.sequence), 1, 0::bigint)
                OVER (ORDER BY date_trunc('hour', c.created_at)) AS sealed,
            max(extract(epoch FROM t.sealed_at - t.occurred_at))::float AS longest_wait
        FROM (
            SELECT newest.sequence, newest.created_at FROM audit_checkpoints newest
            ORDER BY newest.sequence DESC LIMIT 3000
        ) AS c
        LEFT JOIN audit_trail t
            -- Which partitions to look into: a checkpoint is made within a minute.
            ON t.sequence = c.sequence AND c.created_at >= since
                AND t.sealed_at BETWEEN c.created_at - interval '1 hour' AND c.created_at + interval '1 hour'
        GROUP BY 1
    ) AS hours
    WHERE hours.at >= since
$$
"""


def upgrade() -> None:
    op.execute(HOURS)
    op.execute("REVOKE ALL ON FUNCTION audit_hours(timestamptz) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION audit_hours(timestamptz) TO sigilo_staff")
    op.create_table(
        "system_digests",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_system_digests_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_system_digests")),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON system_digests TO sigilo_worker")
    op.execute("GRANT SELECT ON system_digests TO sigilo_backup")


def downgrade() -> None:
    op.drop_table("system_digests")
    op.execute("DROP FUNCTION audit_hours(timestamptz)")
