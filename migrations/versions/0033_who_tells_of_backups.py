"""What the archive of changes holds is told by a role that may do that alone, and no longer by the superuser: the
function is the migrator's, and as whoever calls it would have run what the migrator made of it. And whoever measures
sees since when a backup or a drill has not moved, and which is drilled by nobody.
"""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

NOTE = "FUNCTION note_archive(jsonb, jsonb, text)"


def upgrade() -> None:
    op.execute(f"ALTER {NOTE} SECURITY DEFINER")
    op.execute("GRANT USAGE ON SCHEMA public TO sigilo_archive")
    op.execute(f"GRANT EXECUTE ON {NOTE} TO sigilo_archive")
    op.execute("GRANT SELECT (origin, created_at, heartbeat_at) ON backups TO sigilo_anonymous")
    op.execute("GRANT SELECT (heartbeat_at) ON backup_drills TO sigilo_anonymous")


def downgrade() -> None:
    op.execute("REVOKE SELECT (heartbeat_at) ON backup_drills FROM sigilo_anonymous")
    op.execute("REVOKE SELECT (origin, created_at, heartbeat_at) ON backups FROM sigilo_anonymous")
    op.execute(f"REVOKE EXECUTE ON {NOTE} FROM sigilo_archive")
    op.execute("REVOKE USAGE ON SCHEMA public FROM sigilo_archive")
    op.execute(f"ALTER {NOTE} SECURITY INVOKER")
