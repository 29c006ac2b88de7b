"""Text folding, the patient context of row-level security, and the partitions of the trail."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# One rule for accents and case, used by generated columns and by queries (models/text.py is its twin).
FOLD = r"""
CREATE FUNCTION sigilo_fold(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN lower(regexp_replace(normalize(value, NFKD), U&'[\0300-\036f]+', '', 'g') COLLATE "C")
"""

# array_to_string is only STABLE, for element types whose output depends on settings; text's does not.
WORDS = """
CREATE FUNCTION sigilo_words(value text[]) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN array_to_string(value, ' ')
"""

# The patient whom this transaction serves; none unless the web layer set one for this transaction.
PATIENT = """
CREATE FUNCTION sigilo_patient() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('sigilo.patient_id', true), '')::uuid
"""

# The worker makes next month's partition without owning the trail: it may call this and nothing else.
PARTITION = """
CREATE FUNCTION audit_trail_ensure_partition(moment timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET TimeZone = 'UTC'
AS $$
DECLARE
    first_day timestamptz := date_trunc('month', moment);
    next_day timestamptz := date_trunc('month', moment) + interval '1 month';
    partition_name text := 'audit_trail_p' || to_char(first_day, 'YYYYMM');
BEGIN
    IF moment < now() - interval '1 year' OR moment > now() + interval '2 years' THEN
        RAISE EXCEPTION 'no partition of the audit trail is due for %', moment;
    END IF;
    IF to_regclass('public.' || partition_name) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE public.%I PARTITION OF public.audit_trail FOR VALUES FROM (%L) TO (%L)',
            partition_name, first_day, next_day
        );
        -- A dump copies each partition by itself; the privileges of the whole do not reach that far.
        EXECUTE format('GRANT SELECT ON public.%I TO sigilo_backup', partition_name);
    END IF;
    RETURN partition_name;
END
$$
"""


def upgrade() -> None:
    for statement in (FOLD, WORDS, PATIENT, PARTITION):
        op.execute(statement)
    op.execute("REVOKE ALL ON FUNCTION audit_trail_ensure_partition(timestamptz) FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION audit_trail_ensure_partition(timestamptz)")
    op.execute("DROP FUNCTION sigilo_patient()")
    op.execute("DROP FUNCTION sigilo_words(text[])")
    op.execute("DROP FUNCTION sigilo_fold(text)")
