"""An uploaded file is kept in parts, which are deleted a few at a time.

One row of 32 megabytes is deleted in one go, and whoever waits for its locks waits for that.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

STAFF, WORKER, BACKUP, MIGRATOR = "sigilo_staff", "sigilo_worker", "sigilo_backup", "sigilo_migrator"
PART_BYTES = 262_144
# name, role, command, using, check
POLICIES = (
    ("backup", BACKUP, "SELECT", "true", None),
    ("staff", STAFF, "ALL", "true", "true"),
    ("worker", WORKER, "ALL", "true", "true"),
    ("migrator", MIGRATOR, "ALL", "true", "true"),
)
SPLIT = f"""
INSERT INTO import_file_parts (job_id, number, part, content)
SELECT f.job_id, f.number, n, substring(f.content FROM n * {PART_BYTES} + 1 FOR {PART_BYTES})
FROM import_files f, generate_series(0, (octet_length(f.content) - 1) / {PART_BYTES}) n
WHERE octet_length(f.content) > 0
"""
JOIN = """
UPDATE import_files f SET content = coalesce((
    SELECT string_agg(p.content, ''::bytea ORDER BY p.part) FROM import_file_parts p
    WHERE p.job_id = f.job_id AND p.number = f.number), '')
"""


def upgrade() -> None:
    op.create_table(
        "import_file_parts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            f"octet_length(content) <= {PART_BYTES}", name=op.f("ck_import_file_parts_bounded")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["import_jobs.id"], name=op.f("fk_import_file_parts_job_id")),
        sa.PrimaryKeyConstraint("job_id", "number", "part", name=op.f("pk_import_file_parts")),
    )
    op.execute(f"GRANT SELECT ON import_file_parts TO {BACKUP}")
    # Staff sends files, and reads none: the worker does.
    op.execute(f"GRANT INSERT ON import_file_parts TO {STAFF}")
    op.execute(f"GRANT SELECT, INSERT, DELETE ON import_file_parts TO {WORKER}")
    op.execute("ALTER TABLE import_file_parts ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE import_file_parts FORCE ROW LEVEL SECURITY")
    for name, role, command, using, check in POLICIES:
        clauses = f" USING ({using})" + (f" WITH CHECK ({check})" if check else "")
        op.execute(f"CREATE POLICY import_file_parts_{name} ON import_file_parts FOR {command} TO {role}{clauses}")
    op.execute(SPLIT)
    op.drop_column("import_files", "content")


def downgrade() -> None:
    op.add_column("import_files", sa.Column("content", sa.LargeBinary(), nullable=False, server_default=""))
    op.execute(JOIN)
    op.alter_column("import_files", "content", server_default=None)
    op.drop_table("import_file_parts")
