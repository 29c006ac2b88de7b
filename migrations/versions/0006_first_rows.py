"""Rows that every clinic starts with: the roles, the author of imports, and the clinic's decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROLES = {
    "DOCTOR": "Treats patients, writes records",
    "NURSE": "Triages, writes addenda",
    "RECEPTION": "Registers patients, manages visits; reads nothing clinical",
    "ADMIN": "Manages users, tokens, settings and jobs; reads nothing clinical",
    "AUDITOR": "Reads the trail; sees values masked",
    "PATIENT": "Reads their own record and who saw it",
}
SETTINGS = {
    "session.idle_minutes": "15",
    "session.absolute_hours": "12",
    "break_glass.minutes": "30",
    "identifier_lookup.per_hour": "5",
}
IMPORT_USER = "01900000-0000-7000-8000-000000000001"


def upgrade() -> None:
    connection = op.get_bind()
    for name, purpose in ROLES.items():
        connection.execute(
            sa.text("INSERT INTO roles (name, purpose) VALUES (:name, :purpose) ON CONFLICT DO NOTHING"),
            {"name": name, "purpose": purpose},
        )
    connection.execute(
        sa.text(
            "INSERT INTO users (id, email, full_name, disabled_at) "
            "VALUES (:id, 'import@sigilo.invalid', 'Importação', now()) ON CONFLICT DO NOTHING"
        ),
        {"id": IMPORT_USER},
    )
    for key, value in SETTINGS.items():
        connection.execute(
            sa.text("INSERT INTO settings (key, value) VALUES (:key, CAST(:value AS jsonb))"),
            {"key": key, "value": value},
        )
        connection.execute(
            sa.text(
                "INSERT INTO setting_versions (key, version, value) VALUES (:key, 1, CAST(:value AS jsonb))"
            ),
            {"key": key, "value": value},
        )


def downgrade() -> None:
    # Whatever a clinic wrote since refers to these rows; the tables themselves go one step further down.
    op.execute("DELETE FROM setting_versions")
    op.execute("DELETE FROM settings")
