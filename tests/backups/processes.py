"""A process that makes a backup and drills it, to be killed; and what there is afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

import psutil
import psycopg

from config import Principal, Settings
from embedded.process import wait_until
from models.advisory_locks import BACKUPS

CHILD = """
from config import load_settings
from backups import job
from backups.run import work_off
settings = load_settings()
with job.exclusive(settings) as connection:
    job.request(connection, "SCHEDULED")
    work_off(settings, connection)
"""
LET_GO = f"SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = {BACKUPS})"


def environment(settings: Settings) -> dict[str, str]:
    """What a process of this installation finds in its environment."""
    values = {name.upper(): getattr(settings, name) for name in type(settings).model_fields if "database_url_" in name}
    for name in ("secret_key", "field_key", "audit_signing_key", "redis_url"):
        values[name.upper()] = getattr(settings, name)
    if settings.backup_url:
        values |= {name.upper(): getattr(settings, name) for name in ("s3_access_key_id", "s3_secret_access_key")}
    plain = {name: value.get_secret_value() for name, value in values.items()}
    return {
        **os.environ, **plain, "SIGILO_ENV": "development", "SIGILO_HOME": str(settings.sigilo_home),
        "PUBLIC_URL": settings.public_url, "POSTGRES_PROGRAMS": settings.postgres_programs,
        "BACKUP_AGE_RECIPIENT": settings.backup_age_recipient, "BACKUP_URL": settings.backup_url,
        "S3_ENDPOINT_URL": settings.s3_endpoint_url, "S3_REGION": settings.s3_region,
    }  # fmt: skip


def begin(variables: dict[str, str], first: str = "") -> subprocess.Popen[bytes]:
    """``first``: lines that it runs before all else."""
    return subprocess.Popen([sys.executable, "-c", f"{first}\n{CHILD}"], env=variables)


def kill(process: subprocess.Popen[bytes], settings: Settings) -> None:
    """kill -9, with everything below it; returns when the server has noticed."""
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in family:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    process.wait()
    with psycopg.connect(settings.url_for(Principal.WORKER), autocommit=True) as looking:
        assert wait_until(lambda: looking.execute(LET_GO).fetchone() == (True,), 20)
