"""What an event's changes must look like, asked of a function. PostgreSQL reads a check anew at each insert, and the
two paths of this one took a twentieth of an audited list, whose event changes nothing; a strict function that is given
nothing is not even called.

Acts wait while this waits for the outbox, which a backup reads to its end: it gives up soon, to be tried again.
"""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

WRITERS = "sigilo_staff, sigilo_patient, sigilo_anonymous, sigilo_worker, sigilo_auditor"
# A list of objects whose values are strings or null: numbers have no one canonical form that survives jsonb.
SHAPE = """
    jsonb_typeof(changes) = 'array'
    AND NOT jsonb_path_exists(changes, '$[*] ? (@.type() != "object")')
    AND NOT jsonb_path_exists(changes, '$[*].* ? (@.type() != "string" && @.type() != "null")')
"""
FUNCTION = f"""
CREATE FUNCTION audit_changes_are_plain(changes jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ BEGIN RETURN {SHAPE}; END $$
"""


def upgrade() -> None:
    op.execute(FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION audit_changes_are_plain(jsonb) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION audit_changes_are_plain(jsonb) TO {WRITERS}")
    _check("audit_changes_are_plain(changes)")


def downgrade() -> None:
    _check(SHAPE)
    op.execute("DROP FUNCTION audit_changes_are_plain(jsonb)")


def _check(condition: str) -> None:
    """In one statement, so no event goes unchecked. Reading those that wait to be sealed takes a moment."""
    op.execute("SET LOCAL lock_timeout = '1s'")
    op.execute(
        "ALTER TABLE audit_outbox DROP CONSTRAINT ck_audit_outbox_changes_shape,"
        f" ADD CONSTRAINT ck_audit_outbox_changes_shape CHECK ({condition})"
    )
