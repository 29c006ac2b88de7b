"""Archives of the trail: what was taken out of the database, and the one way to drop a partition."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

WORKER, AUDITOR, MIGRATOR, BACKUP, STAFF = (
    "sigilo_worker", "sigilo_auditor", "sigilo_migrator", "sigilo_backup", "sigilo_staff",
)  # fmt: skip

WRITTEN = (
    "first, last, hash_before, hash, frontier, note, statement, file, size, digest, sealed_from, sealed_to"
)

# Runs as its owner, for no role of the application may drop anything. It drops the oldest partition alone, never the
# one that the trail goes on from, when its month ended a year ago at least, and only when it holds exactly what an
# archive says that is a day old: whoever looks at the trail every night sees it first. Looked up by the index, so it
# takes as long for a million events as for one. An empty month needs no archive.
DROP = """
CREATE FUNCTION audit_trail_drop_archived(partition_name text) RETURNS void
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
    END IF;
    IF to_date(right(partition_name, 6), 'YYYYMM') + interval '1 month' > now() - interval '1 year' THEN
        RAISE EXCEPTION '% is kept for a year at least', partition_name;
    END IF;
    EXECUTE format('SELECT sequence, hash FROM public.%I ORDER BY sequence DESC LIMIT 1', partition_name) INTO head;
    IF head.sequence IS NOT NULL THEN
        EXECUTE format('SELECT min(sequence) FROM public.%I', partition_name) INTO first_one;
        SELECT * INTO archive FROM public.audit_archives a WHERE a.last = head.sequence;
        IF archive.first IS DISTINCT FROM first_one OR archive.hash IS DISTINCT FROM head.hash THEN
            RAISE EXCEPTION '% has no archive of what it holds', partition_name;
        END IF;
        IF archive.created_at > now() - interval '20 hours' THEN
            RAISE EXCEPTION 'the archive of % is not a day old', partition_name;
        END IF;
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
        "audit_archives",
        sa.Column("last", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("hash_before", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("first >= 1 AND first <= last", name=op.f("ck_audit_archives_range")),
        sa.CheckConstraint(
            "octet_length(hash_before) = 32 AND octet_length(hash) = 32 AND octet_length(digest) = 32"
            " AND octet_length(frontier) % 32 = 0",
            name=op.f("ck_audit_archives_hash_lengths"),
        ),
        sa.PrimaryKeyConstraint("last", name=op.f("pk_audit_archives")),
    )
    # Since when it is there is the database's word, and when its partition went that of the function.
    op.execute(f"GRANT SELECT, INSERT ({WRITTEN}) ON audit_archives TO {WORKER}")
    op.execute(f"GRANT SELECT ON audit_archives TO {AUDITOR}, {BACKUP}, {STAFF}")
    op.execute("ALTER TABLE audit_archives ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit_archives FORCE ROW LEVEL SECURITY")
    readers = f"{WORKER}, {AUDITOR}, {MIGRATOR}, {BACKUP}, {STAFF}"
    op.execute(f"CREATE POLICY audit_archives_read ON audit_archives FOR SELECT TO {readers} USING (true)")
    op.execute(f"CREATE POLICY audit_archives_append ON audit_archives FOR INSERT TO {WORKER} WITH CHECK (true)")
    # The function above alone acts as the owner, and writes nothing but when a partition went.
    op.execute(f"CREATE POLICY audit_archives_drop ON audit_archives FOR UPDATE TO {MIGRATOR} USING (true)")
    op.execute(DROP)
    op.execute("REVOKE ALL ON FUNCTION audit_trail_drop_archived(text) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION audit_trail_drop_archived(text) TO {WORKER}")


def downgrade() -> None:
    op.execute("DROP FUNCTION audit_trail_drop_archived(text)")
    op.drop_table("audit_archives")
