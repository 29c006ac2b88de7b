"""Since when the unusual access waits that has waited longest, for whoever measures: no role of staff's but the auditor's
reads alerts.
"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

STAFF = "sigilo_staff"
WAITING_SINCE = """
CREATE FUNCTION access_alerts_waiting_since() RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT min(a.created_at) FROM access_alerts a WHERE a.reviewed_at IS NULL $$
"""


def upgrade() -> None:
    op.execute(WAITING_SINCE)
    op.execute("REVOKE ALL ON FUNCTION access_alerts_waiting_since() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION access_alerts_waiting_since() TO {STAFF}")


def downgrade() -> None:
    op.execute("DROP FUNCTION access_alerts_waiting_since()")
