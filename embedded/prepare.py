"""Makes an installation ready for its first request: ``python -m embedded.prepare``.

A process of its own, so that the memory it takes is given back before the servers start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from loading import loading

with loading():
    import psycopg

    from config import ConfigurationError, Principal, Settings, load_settings
    from embedded.home import Home
    from embedded.installation import EMBEDDED_DATABASE
    from embedded.postgres import DATABASE
    from embedded.secrets import SecretsFolder
    from migrations.prepare import prepare_server, upgrade_schema
    from services.demo_seed import seed
    from services.field_keys import refuse_dropped_keys

DEMO_PATIENTS = 120
DEMO_RECORDS = 1500


def prepare(settings: Settings, environ: dict[str, str], say: Callable[[str], object]) -> None:
    """Roles and database (on a server of our own), migrations, and a demo clinic in an empty database."""
    if environ.get(EMBEDDED_DATABASE):
        folder = SecretsFolder(Home.of(environ).secrets)
        superuser = folder.path("database_url_superuser").read_text(encoding="utf-8").strip()
        maintenance = superuser.replace(f"@/{DATABASE}?", "@/postgres?")
        prepare_server(maintenance, superuser, DATABASE, folder.role_passwords())
    upgrade_schema(settings)
    refuse_dropped_keys(settings, Principal.MIGRATOR)
    if is_empty(settings):
        say("Seeding a demo clinic …")
        patients = int(environ.get("SIGILO_DEMO_PATIENTS", DEMO_PATIENTS))
        records = int(environ.get("SIGILO_DEMO_RECORDS", DEMO_RECORDS))
        seed(settings, patients=patients, records=records, progress=None)
        # The planner knows nothing of what was written a second ago, and plans are kept.
        with psycopg.connect(settings.url_for(Principal.MIGRATOR), autocommit=True) as connection:
            connection.execute("ANALYZE")


def is_empty(settings: Settings) -> bool:
    """Whether nobody works here yet: no patient, and no user but the one imports are written by."""
    with psycopg.connect(settings.url_for(Principal.MIGRATOR), connect_timeout=10) as connection:
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM patients) OR EXISTS (SELECT FROM users WHERE email NOT LIKE '%@sigilo.invalid')"
        ).fetchone()
    return row == (False,)


def main() -> int:
    environ = dict(os.environ)
    try:
        prepare(load_settings(), environ, lambda text: sys.stdout.write(text + "\n"))
    except (ConfigurationError, psycopg.OperationalError) as error:
        sys.stderr.write(f"sigilo: {str(error).strip()}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
