"""The processes of compose.prod.yml with what deploy/bootstrap made for each, on a real PostgreSQL and Redis: every
login has its own password and its own rights, and with no others all of them do their work."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from config import ConfigurationError, Principal
from embedded.process import wait_until
from embedded.redis import NEVER_AGAIN
from migrations.prepare import prepare_own_server
from tests.cluster import Server, programs_here, server_folders
from tests.deploy.composed import ROOT, read
from tests.deploy.installed import SECONDS, Installation, options_of_drills
from tests.observability.measured_by_exporters import exporter

SEGMENT = 16 << 20  # bytes of WAL in a file
HBA = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    programs = programs_here()
    with server_folders(programs.account, "one") as (folder,), ExitStack() as stack:
        server = Server(programs, folder)
        archive = archive_of(server)
        server.make(f"archive_mode = on\narchive_command = 'mkdir -p {archive} && cp %p {archive}/%f'\n", HBA)
        server.start()
        stack.callback(server.end)
        made = Installation(tmp_path_factory.mktemp("installation"), server, read())
        stack.enter_context(made.redis_server("redis", "broker.conf", "redis_acl"))
        stack.enter_context(made.redis_server("redis-cache", "cache.conf", "redis_cache_acl"))
        # As the image makes it the first time: the superuser with its password, the database, who looks at figures.
        make_superuser(server, made.bootstrapped.secrets / "postgres_password")
        with server.connect() as connection:
            connection.execute("CREATE DATABASE sigilo TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        with server.connect("sigilo") as connection:
            connection.execute((ROOT / "observability/postgres-exporter/role.sql").read_text())
        prepared = made.run("prepare")
        assert prepared.returncode == 0, prepared.stderr
        yield made


@pytest.fixture
def drills(installation: Installation) -> Iterator[Server]:
    """The server for drills, with the options that its container has."""
    programs = programs_here()
    with server_folders(programs.account, "two") as (folder,):
        server = Server(programs, folder)
        server.make(hba=HBA)
        server.start(*options_of_drills(installation.project))
        try:
            make_superuser(server, installation.bootstrapped.secrets / "postgres_drills_password")
            installation.drills = server
            yield server
        finally:
            installation.drills = None
            server.end()


def make_superuser(server: Server, password: Path) -> None:
    with server.connect() as connection:
        connection.execute(f"CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '{password.read_text().strip()}'")


def archive_of(server: Server) -> Path:
    return server.data.with_name("archive")


def archived_since(server: Server, before: str) -> set[str]:
    """Names of the databases made in what the archive got from the position ``before`` on, up to this moment."""
    with server.connect() as connection:
        names = "SELECT pg_walfile_name(%s), pg_walfile_name(pg_switch_wal())"
        row = connection.execute(names, [before]).fetchone()
    assert row is not None
    first, last = row
    assert wait_until((archive_of(server) / last).exists, SECONDS)
    files = [each for each in archive_of(server).iterdir() if first <= each.name <= last]
    return {found.decode() for each in files for found in re.findall(rb"sigilo_drill_\w+", each.read_bytes())}


def position(server: Server) -> str:
    with server.connect() as connection:
        connection.execute("SELECT pg_switch_wal()")
        return str(connection.execute("SELECT pg_current_wal_lsn()").fetchone()[0])  # type: ignore[index]


def test_a_drill_on_the_server_for_drills_leaves_nothing_in_the_clinics_archive(
    installation: Installation, drills: Server
) -> None:
    """With all that worker-backups has in its container and nothing more; the clinic's server archives every change."""
    server = installation.server
    made = installation.run("worker-backups", "backup", "create", "--no-drill")
    assert made.returncode == 0, made.stderr
    before = position(server)
    drilled = installation.run("worker-backups", "backup", "drill")
    assert drilled.returncode == 0 and "drill passed" in drilled.stdout, drilled.stderr
    assert archived_since(server, before) == set(), "nothing of it was made there"
    with server.connect() as connection:
        row = connection.execute("SELECT pg_current_wal_lsn() - %s::pg_lsn", [before]).fetchone()
    assert row is not None and row[0] <= SEGMENT, "the rows that say so"
    with drills.connect() as connection:
        shown = "SELECT current_setting('archive_mode'), current_setting('wal_level'), current_setting('fsync')"
        assert connection.execute(shown).fetchone() == ("off", "minimal", "off")
        assert connection.execute("SELECT FROM pg_database WHERE datname ~ '^sigilo'").fetchone() is None
        roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
    assert {principal.role for principal in Principal} <= roles, "it was there that it was restored"

    # That look finds a drill where there is one.
    before = position(server)
    with server.connect() as connection:
        connection.execute("CREATE DATABASE sigilo_drill_here")
        connection.execute("DROP DATABASE sigilo_drill_here")
    assert archived_since(server, before) == {"sigilo_drill_here"}


def test_each_login_is_itself_and_nobody_else(installation: Installation) -> None:
    for principal in Principal:
        name = "database_url" if principal is Principal.ANONYMOUS else f"database_url_{principal.value}"
        with psycopg.connect(installation.url(name), autocommit=True) as connection:
            assert connection.execute("SELECT session_user").fetchone() == (principal.role,)
            for another in {*Principal} - {principal}:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SET ROLE {another.role}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SET ROLE postgres")


def test_preparing_again_changes_passwords_and_nothing_else(installation: Installation) -> None:
    path = installation.bootstrapped.secrets / "database_url_staff"
    former = installation.url("database_url_staff")
    path.chmod(0o600)
    path.write_text(path.read_text().replace("sigilo_staff:", "sigilo_staff:another-"))
    psycopg.connect(former).close()
    prepare_own_server(installation.preparing())
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(former)
    psycopg.connect(installation.url("database_url_staff")).close()


def test_a_login_of_another_role_is_refused_before_anything_changes(installation: Installation) -> None:
    path = installation.bootstrapped.secrets / "database_url_backup"
    former = path.read_text()
    path.chmod(0o600)
    path.write_text((installation.bootstrapped.secrets / "database_url_staff").read_text())
    try:
        with pytest.raises(ConfigurationError, match="DATABASE_URL_BACKUP gives no password of sigilo_backup"):
            prepare_own_server(installation.preparing())
    finally:
        path.write_text(former)


def test_the_exporter_of_postgresql_gets_its_password_and_sees_no_patient(installation: Installation) -> None:
    secret = installation.bootstrapped.secrets / "postgres_monitor_password"
    text = (ROOT / "deploy" / "postgres" / "first-start").read_text()
    for before, after in (
        ("CREATE EXTENSION IF NOT EXISTS pg_stat_statements;\n", ""),  # which a server of the wheel's has not
        ("/run/secrets/postgres_monitor_password", str(secret)),
    ):
        assert before in text
        text = text.replace(before, after)
    programs = programs_here()
    reached = {
        "PATH": f"{programs.folder}:/usr/bin:/bin", "PGHOST": "127.0.0.1", "PGPORT": str(installation.server.port),
        "PGPASSWORD": (installation.bootstrapped.secrets / "postgres_password").read_text().strip(),
    }  # fmt: skip
    subprocess.run(["/bin/sh", "-c", text], env=reached, check=True, capture_output=True)
    url = f"postgresql://sigilo_monitor@127.0.0.1:{installation.server.port}/sigilo"
    with psycopg.connect(url, password=secret.read_text().strip(), autocommit=True) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM pg_stat_activity").fetchone() == (True,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT FROM public.patients")


def test_redis_knows_nobody_without_a_name_and_gives_each_what_it_needs(installation: Installation) -> None:
    port = installation.ports["redis"]
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=port, retry=NEVER_AGAIN).ping()
    ours: Any = redis.Redis.from_url(installation.url("redis_url"))
    assert ours.set("a", 1) and ours.eval("return redis.call('incr', KEYS[1])", 1, "a") == 2
    for refused in ("CONFIG GET *", "FLUSHALL", "ACL LIST", "SHUTDOWN", "DEBUG OBJECT a", "KEYS *"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            ours.execute_command(*refused.split())
    [password] = json.loads((installation.bootstrapped.secrets / "redis_monitor.json").read_text()).values()
    monitor: Any = redis.Redis(port=port, username="monitor", password=password)
    assert monitor.info()["maxmemory_policy"] == "noeviction"
    health = redis.Redis(port=port, username="health", password="any")
    assert health.ping()
    for client in (monitor, health):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("a")
    cache: Any = redis.Redis.from_url(installation.url("cache_url"))
    assert cache.info()["maxmemory_policy"] == "allkeys-lru" and cache.info()["aof_enabled"] == 0
    elsewhere = redis.Redis(
        port=installation.ports["redis-cache"], username="monitor", password=password, retry=NEVER_AGAIN
    )
    with pytest.raises(redis.exceptions.AuthenticationError):
        elsewhere.ping()


def test_exporters_come_in_with_their_own_logins(installation: Installation) -> None:
    [password] = json.loads((installation.bootstrapped.secrets / "redis_monitor.json").read_text()).values()
    environment = {
        "REDIS_ADDR": f"redis://127.0.0.1:{installation.ports['redis']}", "REDIS_USER": "monitor",
        "REDIS_PASSWORD": password,
    }  # fmt: skip
    with exporter("prometheus-redis-exporter", environment=environment) as names:
        assert {"redis_memory_used_bytes", "redis_connected_clients"} <= names


def test_processes_work_with_the_rights_that_each_has(installation: Installation) -> None:
    """One of each kind, with its own files: a person is made, the event is sealed, and all that they need answers."""
    blue = installation.ports["web-blue"]
    with ExitStack() as stack:
        stack.enter_context(installation.running("web-blue", "web", "--port", str(blue), "--workers", "1"))
        for name in ("worker-audit", "scheduler"):
            stack.enter_context(installation.running(name))
        ana = ("--email", "ana@clinica.br", "--name", "Ana", "--role", "ADMIN")
        made = installation.run("tools", "user", "create", *ana)
        assert made.returncode == 0, made.stderr
        parts = ("database", "redis", "trail", "scheduler")
        assert wait_until(lambda: all(status(blue, part) == "ok" for part in parts), SECONDS), dependencies(blue)
        # Of the other queues nobody takes care here.
        assert wait_until(lambda: "audit" not in dependencies(blue)["worker"].get("note", ""), SECONDS)
        auditor = installation.url("database_url_auditor")
        with psycopg.connect(auditor, autocommit=True) as connection:
            sealed = "SELECT count(*) > 0 FROM audit_trail"
            assert wait_until(lambda: connection.execute(sealed).fetchone() == (True,), SECONDS)


def status(port: int, part: str) -> str:
    return dependencies(port).get(part, {}).get("status", "")


def dependencies(port: int) -> dict[str, dict[str, str]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5) as answer:
            found: dict[str, dict[str, str]] = json.load(answer)["dependencies"]
            return found
    except urllib.error.HTTPError as error:
        return dict(json.load(error)["dependencies"])
    except OSError:
        return {}
