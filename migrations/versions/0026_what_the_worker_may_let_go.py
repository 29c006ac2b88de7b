"""The trail is let go as the policy has it, and that it was checked is signed.

What the worker may let go of the trail is what the clinic's policy lets go, and what a nightly check has seen.

The policy (AUDIT_KEEP_MONTHS) is the worker's own setting, and a year was all that held where it did not follow it. So
the database keeps the number too, in a table that the migrator alone writes, each time the schema is brought up to date.
And 20 hours are not a night: an archive has to lie there for long enough that a check falls into that time.

That a check was made, and what it came to, was the word of a row that a superuser may write (job_runs); now it is a
signed one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

STAFF, WORKER, AUDITOR, BACKUP = "sigilo_staff", "sigilo_worker", "sigilo_auditor", "sigilo_backup"

KEPT_BEFORE = """
    IF to_date(right(partition_name, 6), 'YYYYMM') + interval '1 month' > now() - interval '1 year' THEN
        RAISE EXCEPTION '% is kept for a year at least', partition_name;
    END IF;"""
AGE_BEFORE = """
        IF archive.created_at > now() - interval '20 hours' THEN
            RAISE EXCEPTION 'the archive of % is not a day old', partition_name;
        END IF;"""
KEPT = """
    IF to_date(right(partition_name, 6), 'YYYYMM') + interval '1 month'
        > now() - coalesce((SELECT keep_months FROM public.audit_policy), 1200) * interval '1 month'
    THEN
        RAISE EXCEPTION '% is kept for % months: sigilo db upgrade takes over AUDIT_KEEP_MONTHS', partition_name,
            (SELECT keep_months FROM public.audit_policy);
    END IF;"""
AGE = """
        IF archive.created_at > now() - interval '26 hours' THEN
            RAISE EXCEPTION 'the archive of % has not lain there for a night', partition_name;
        END IF;"""

# As in 0017, but for the two conditions.
DROP = """
CREATE OR REPLACE FUNCTION audit_trail_drop_archived(partition_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET TimeZone = 'UTC'
SET lock_timeout = '2s'
AS $$
DECLARE
    oldest text := (
        SELECT min(c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.audit_trail'::regclass
    );
    head record;
    first_one bigint;
    archive public.audit_archives;
BEGIN
    IF partition_name IS DISTINCT FROM oldest THEN
        RAISE EXCEPTION '% is not the oldest partition of the audit trail', partition_name;
    END IF;<KEPT>
    EXECUTE format('SELECT sequence, hash FROM public.%I ORDER BY sequence DESC LIMIT 1', partition_name) INTO head;
    IF head.sequence IS NOT NULL THEN
        EXECUTE format('SELECT min(sequence) FROM public.%I', partition_name) INTO first_one;
        SELECT * INTO archive FROM public.audit_archives a WHERE a.last = head.sequence;
        IF archive.first IS DISTINCT FROM first_one OR archive.hash IS DISTINCT FROM head.hash THEN
            RAISE EXCEPTION '% has no archive of what it holds', partition_name;
        END IF;<AGE>
        IF head.sequence = (SELECT t.sequence FROM public.audit_trail t ORDER BY t.sequence DESC LIMIT 1) THEN
            RAISE EXCEPTION '% holds the newest event, which the next one follows from', partition_name;
        END IF;
        UPDATE public.audit_archives SET dropped_at = now() WHERE last = head.sequence;
    END IF;
    EXECUTE format('ALTER TABLE public.audit_trail DETACH PARTITION public.%I', partition_name);
    EXECUTE format('DROP TABLE public.%I', partition_name);
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "audit_policy",
        sa.Column("is_only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("keep_months", sa.Integer(), nullable=False),
        sa.CheckConstraint("is_only", name=op.f("ck_audit_policy_one_row")),
        sa.CheckConstraint("keep_months >= 12", name=op.f("ck_audit_policy_a_year")),
        sa.PrimaryKeyConstraint("is_only", name=op.f("pk_audit_policy")),
    )
    op.execute("INSERT INTO audit_policy (keep_months) VALUES (60)")
    op.execute(f"GRANT SELECT ON audit_policy TO {BACKUP}")
    op.create_table(
        "audit_checks",
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ended_at", name=op.f("pk_audit_checks")),
    )
    op.execute(f"GRANT SELECT, INSERT, DELETE ON audit_checks TO {WORKER}")
    op.execute(f"GRANT SELECT ON audit_checks TO {STAFF}, {AUDITOR}, {BACKUP}")
    op.execute(DROP.replace("<KEPT>", KEPT).replace("<AGE>", AGE))


def downgrade() -> None:
    op.execute(DROP.replace("<KEPT>", KEPT_BEFORE).replace("<AGE>", AGE_BEFORE))
    op.drop_table("audit_checks")
    op.drop_table("audit_policy")
