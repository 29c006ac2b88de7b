"""Field keys can change: which are in use is found at once, and an account's CPF can be indexed under another key.

The number is sealed beside its index. No role of the web may select it, so the anonymous one, which could read whole
rows, names its columns from now on. `sigilo keys` works as the migrator.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

ANONYMOUS_READS = (
    "id, email, full_name, council, cpf_index, password_hash, previous_password_hash, password_changed_at, "
    "must_change_password, patient_id, quota, locale, disabled_at, version, created_at, updated_at"
)


def upgrade() -> None:
    op.add_column("users", sa.Column("cpf_cipher", sa.LargeBinary(), nullable=True))
    op.execute("REVOKE SELECT ON users FROM sigilo_anonymous")
    op.execute(f"GRANT SELECT ({ANONYMOUS_READS}) ON users TO sigilo_anonymous")
    op.create_index("ix_patients_field_key", "patients", [sa.literal_column("get_byte(audit_key_cipher, 0)")])


def downgrade() -> None:
    op.drop_index("ix_patients_field_key", "patients")
    op.execute(f"REVOKE SELECT ({ANONYMOUS_READS}) ON users FROM sigilo_anonymous")
    op.execute("GRANT SELECT ON users TO sigilo_anonymous")
    op.drop_column("users", "cpf_cipher")
