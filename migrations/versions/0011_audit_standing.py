"""How the trail stands, in five numbers and times: what the system page may say of what administrators may not read."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Runs as its owner, for no web role of staff reads the outbox, the trail or its checkpoints; says nothing of any
# event. The outbox is counted to a hundred thousand: beyond, the number matters less than the time it takes.
STANDING = """
CREATE FUNCTION audit_standing(
    OUT waiting bigint, OUT sealed bigint, OUT sealed_at timestamptz, OUT signed bigint, OUT signed_at timestamptz
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT
        (SELECT count(*) FROM (SELECT FROM audit_outbox LIMIT 100000) o),
        last.sequence, last.sealed_at, checkpoint.sequence, checkpoint.created_at
    FROM (SELECT 1) AS always
    LEFT JOIN (
        SELECT t.sequence, t.sealed_at FROM audit_trail t ORDER BY t.sequence DESC LIMIT 1
    ) AS last ON TRUE
    LEFT JOIN (
        SELECT c.sequence, c.created_at FROM audit_checkpoints c ORDER BY c.sequence DESC LIMIT 1
    ) AS checkpoint ON TRUE
$$
"""


def upgrade() -> None:
    op.execute(STANDING)
    op.execute("REVOKE ALL ON FUNCTION audit_standing() FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION audit_standing() TO sigilo_staff")


def downgrade() -> None:
    op.execute("DROP FUNCTION audit_standing()")
