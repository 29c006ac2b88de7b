"""How long the oldest event waits in the outbox: the one thing about it that the web may know, for /api/health."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Runs as its owner, for nobody but the worker reads the outbox; says seconds and nothing of any event.
LAG = """
CREATE FUNCTION audit_outbox_lag() RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT coalesce(extract(epoch FROM clock_timestamp() - (SELECT occurred_at FROM audit_outbox ORDER BY id LIMIT 1)), 0)
$$
"""


def upgrade() -> None:
    op.execute("CREATE POLICY audit_outbox_owner_read ON audit_outbox FOR SELECT TO sigilo_migrator USING (true)")
    op.execute(LAG)
    op.execute("REVOKE ALL ON FUNCTION audit_outbox_lag() FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION audit_outbox_lag() TO sigilo_anonymous, sigilo_staff")


def downgrade() -> None:
    op.execute("DROP FUNCTION audit_outbox_lag()")
    op.execute("DROP POLICY audit_outbox_owner_read ON audit_outbox")
