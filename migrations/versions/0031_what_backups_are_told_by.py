"""What tells whether backups are as they should be: in how many places the audit trail is not intact where a backup is
good all the same, what the archive of changes holds, which the database's own machine knows alone, until when a store
keeps what is kept for long, and which administrators were told of what.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

READERS = "sigilo_staff, sigilo_worker, sigilo_anonymous, sigilo_backup"

# Which file of WAL it is, of all that there will be; the first eight digits, its timeline, left out.
NUMBER = """
CREATE FUNCTION wal_number(file text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ('x' || substr(file, 9, 8))::bit(32)::bigint * (4294967296 / setting::bigint)
        + ('x' || substr(file, 17, 8))::bit(32)::bigint
    FROM pg_settings WHERE name = 'wal_segment_size'
$$
"""
# Called on the database's machine, as its superuser, with what pgBackRest says there and what PostgreSQL archived last,
# asked before. A file is missing that lies between the first of the newest base backup and that one, and that the
# archive does not have on the backup's timeline or a later one.
NOTE = r"""
CREATE FUNCTION note_archive(info jsonb, files jsonb, archived text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH stored AS (
        SELECT left(name, 8) AS timeline, wal_number(name) AS number
        FROM (SELECT substring(key from '([0-9A-F]{24})-[0-9a-f]{40}') AS name FROM jsonb_object_keys(files) AS key) n
        WHERE name IS NOT NULL
    ), base AS (
        SELECT b ->> 'type' AS type, to_timestamp((b #>> '{timestamp,stop}')::bigint) AS at,
            b #>> '{archive,start}' AS first, b #>> '{archive,stop}' AS last
        FROM jsonb_array_elements(info) s, jsonb_array_elements(s -> 'backup') b
        WHERE NOT coalesce((b ->> 'error')::boolean, FALSE)
    ), wanted AS (
        SELECT left(first, 8) AS timeline, wal_number(first) AS first,
            greatest(wal_number(last), wal_number(substring(archived from '^[0-9A-F]{24}'))) AS last
        FROM base ORDER BY at DESC LIMIT 1
    ), missing AS (
        SELECT number FROM wanted, generate_series(wanted.first, wanted.last) AS number
        EXCEPT SELECT number FROM wanted, stored WHERE stored.timeline >= wanted.timeline
    )
    INSERT INTO archive_standing (id, noted_at, full_at, differential_at, missing)
    SELECT 1, now(), (SELECT max(at) FROM base WHERE type = 'full'), (SELECT max(at) FROM base),
        (SELECT count(*) FROM missing)
    ON CONFLICT (id) DO UPDATE SET noted_at = excluded.noted_at, full_at = excluded.full_at,
        differential_at = excluded.differential_at, missing = excluded.missing
$$
"""
FUNCTIONS = ("note_archive(jsonb, jsonb, text)", "wal_number(text)")


def moment(name: str, *, nullable: bool = True) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.add_column(
        "backup_drills", sa.Column("trail_problems", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.execute("GRANT SELECT (trail_problems) ON backup_drills TO sigilo_anonymous")
    op.add_column("backups", moment("locked_until"))
    op.create_table(
        "archive_standing",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        moment("noted_at", nullable=False),
        moment("full_at"),
        moment("differential_at"),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_archive_standing_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive_standing")),
    )
    op.execute(f"GRANT SELECT ON archive_standing TO {READERS}")
    op.create_table(
        "backup_mails",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("told", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        moment("sent_at"),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_backup_mails_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_backup_mails")),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON backup_mails TO sigilo_worker")
    op.execute("GRANT SELECT ON backup_mails TO sigilo_backup")
    op.execute(NUMBER)
    op.execute(NOTE)
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.drop_table("backup_mails")
    op.drop_table("archive_standing")
    op.drop_column("backups", "locked_until")
    op.drop_column("backup_drills", "trail_problems")
