"""A Merkle tree over the trail (RFC 6962): checkpoints sign its root, and proofs are made from its subtrees."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

WORKER, AUDITOR, MIGRATOR, BACKUP = "sigilo_worker", "sigilo_auditor", "sigilo_migrator", "sigilo_backup"


def upgrade() -> None:
    op.add_column("audit_checkpoints", sa.Column("root", sa.LargeBinary(), nullable=True))
    op.add_column("audit_checkpoints", sa.Column("frontier", sa.LargeBinary(), nullable=True))
    op.create_check_constraint(
        op.f("ck_audit_checkpoints_tree_shape"),
        "audit_checkpoints",
        "(root IS NULL) = (frontier IS NULL) AND octet_length(root) = 32 AND octet_length(frontier) % 32 = 0",
    )
    op.create_table(
        "audit_tree_nodes",
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("octet_length(hash) = 32", name=op.f("ck_audit_tree_nodes_hash_length")),
        sa.PrimaryKeyConstraint("level", "position", name=op.f("pk_audit_tree_nodes")),
    )
    op.execute(f"GRANT SELECT, INSERT ON audit_tree_nodes TO {WORKER}")
    op.execute(f"GRANT SELECT ON audit_tree_nodes TO {AUDITOR}, {BACKUP}")
    op.execute("ALTER TABLE audit_tree_nodes ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit_tree_nodes FORCE ROW LEVEL SECURITY")
    readers = f"{WORKER}, {AUDITOR}, {MIGRATOR}, {BACKUP}"
    op.execute(f"CREATE POLICY audit_tree_nodes_read ON audit_tree_nodes FOR SELECT TO {readers} USING (true)")
    op.execute(f"CREATE POLICY audit_tree_nodes_append ON audit_tree_nodes FOR INSERT TO {WORKER} WITH CHECK (true)")


def downgrade() -> None:
    op.drop_table("audit_tree_nodes")
    op.drop_constraint(op.f("ck_audit_checkpoints_tree_shape"), "audit_checkpoints")
    op.drop_column("audit_checkpoints", "frontier")
    op.drop_column("audit_checkpoints", "root")
