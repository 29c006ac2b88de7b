"""The trail's indexes grow in the direction that it does.

An index in descending order is written at its left end, where every full page is split in halves; ascending it fills
its pages, and is read backwards as fast. The key begins with the sequence, so it needs no index beside it.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# Numbers and times of sealing grow together, so the one is found by the other in a few looks at the key, and no index
# by time is needed. As whoever asks; 0 where nothing was sealed before.
SEALED_BEFORE = """
CREATE FUNCTION audit_trail_sealed_before(moment timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    low bigint := (SELECT t.sequence - 1 FROM public.audit_trail t ORDER BY t.sequence LIMIT 1);
    high bigint := (SELECT t.sequence FROM public.audit_trail t ORDER BY t.sequence DESC LIMIT 1);
    middle bigint;
    found timestamptz;
BEGIN
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        SELECT t.sealed_at INTO found FROM public.audit_trail t WHERE t.sequence >= middle ORDER BY t.sequence LIMIT 1;
        IF found < moment THEN low := middle; ELSE high := middle - 1; END IF;
    END LOOP;
    RETURN coalesce(low, 0);
END
$$
"""
PER_WHOM = ("patient_id", "actor_id", "entity_id")


def upgrade() -> None:
    _replace("", "sequence, sealed_at")
    op.execute("DROP INDEX ix_audit_trail_sequence")
    op.execute(SEALED_BEFORE)
    op.execute("REVOKE ALL ON FUNCTION audit_trail_sealed_before(timestamptz) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION audit_trail_sealed_before(timestamptz) TO sigilo_worker")


def downgrade() -> None:
    op.execute("DROP FUNCTION audit_trail_sealed_before(timestamptz)")
    _replace(" DESC", "sealed_at, sequence")
    op.execute("CREATE INDEX ix_audit_trail_sequence ON audit_trail (sequence DESC)")


def _replace(direction: str, key: str) -> None:
    for column in PER_WHOM:
        op.execute(f"DROP INDEX ix_audit_trail_{column}")
        op.execute(f"CREATE INDEX ix_audit_trail_{column} ON audit_trail ({column}, sequence{direction})")
    op.execute("ALTER TABLE audit_trail DROP CONSTRAINT pk_audit_trail")
    op.execute(f"ALTER TABLE audit_trail ADD CONSTRAINT pk_audit_trail PRIMARY KEY ({key})")
