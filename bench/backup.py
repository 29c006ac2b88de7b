"""Backups in figures: taking one beside ``pg_dump | zstd`` alone, drilling it beside ``pg_restore`` alone, and memory.

``python -m bench.backup 1000000`` measures a million records; `make bench` a moderate number. Every pair is one run of
each over the same database, in turns, so that the machine's noise meets both.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pyrage

from backups import job
from backups.create import take_backup
from backups.database import DRILL, connect_server, drop, make_scratch
from backups.drill import run_drill
from config import Principal, Settings, load_settings
from embedded.home import Home
from embedded.postgres import PostgresServer
from embedded.secrets import SecretsFolder
from embedded.wheel_programs import postgres_programs
from migrations.prepare import prepare_server, upgrade_schema
from models.engine import Databases
from services.audit_drain import BATCH, drain
from services.demo_seed import seed

RECORDS = int(os.environ.get("BENCH_BACKUP_RECORDS", "20000"))
PER_PATIENT = 10
ROUNDS = 3
SPEED_FLOOR, DRILL_MOST, MEMORY_MOST = 0.60, 2.0, 150 << 20
# Where the machine has no zstd of its own, the same library under Python does as well: both are one call a block.
COPY = "import shutil, sys; from backports import zstd; shutil.copyfileobj("
PACK, UNPACK = (
    (["zstd", "-3", "-q", "-c"], ["zstd", "-d", "-q", "-c"])
    if shutil.which("zstd")
    else (
        [sys.executable, "-c", COPY + "sys.stdin.buffer, zstd.open(sys.stdout.buffer, 'wb'), 1 << 20)"],
        [sys.executable, "-c", COPY + "zstd.open(sys.argv[1], 'rb'), sys.stdout.buffer, 1 << 20)"],
    )
)
CHILD = "from bench.backup import child; child()"


def measure(records: int = RECORDS) -> bool:
    """Prints the figures; whether all are within what is asked of them."""
    with tempfile.TemporaryDirectory(prefix="sigilo-bench-") as folder:
        home = Home(Path(folder) / "home")
        server = PostgresServer(home)
        server.start()
        try:
            settings = _settings(server, home, records)
            return _measured(settings, records, Path(folder))
        finally:
            server.destroy()


def _settings(server: PostgresServer, home: Home, records: int) -> Settings:
    secrets = SecretsFolder(home.secrets)
    passwords = secrets.role_passwords()
    prepare_server(server.maintenance_url, server.superuser_url, "sigilo", passwords)
    urls = {f"database_url_{each.value}": server.url(each.role, passwords[each.role]) for each in Principal}
    keys = {name.lower(): path.read_text().strip() for name, path in secrets.application_keys().items()}
    settings = load_settings(
        sigilo_env="development", sigilo_home=home.path, redis_url="redis://127.0.0.1:1/0",
        backup_age_recipient=str(pyrage.x25519.Identity.generate().to_public()),
        postgres_programs=str(postgres_programs()), **urls, **keys,
    )  # fmt: skip
    upgrade_schema(settings)
    started = time.monotonic()
    seed(settings, patients=max(10, records // PER_PATIENT), records=records, progress=None)
    databases = Databases({each.value: settings.url_for(each) for each in Principal}, pool_size=2)
    while True:
        with databases.session(Principal.WORKER) as session:
            if drain(session).count < BATCH:
                break
    databases.dispose()
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    size = row[0] if row else 0
    print(f"backup: {records} records, {size >> 20} MiB, made in {time.monotonic() - started:.0f} s", flush=True)
    return settings


def _measured(settings: Settings, records: int, folder: Path) -> bool:
    alone, ours, restores, drills, peaks = [], [], [], [], []
    for _ in range(ROUNDS if records <= 100_000 else 1):
        alone.append(_timed(lambda: _dump_alone(settings, folder / "alone.zst")))
        seconds, peak = _in_a_child(settings, "backup")
        ours.append(seconds)
        peaks.append(peak)
        restores.append(_timed(lambda: _restore_alone(settings, folder / "alone.zst")))
        seconds, peak = _in_a_child(settings, "drill")
        drills.append(seconds)
        peaks.append(peak)
        (folder / "alone.zst").unlink()
    speed = statistics.median(a / o for a, o in zip(alone, ours, strict=True))
    drill = statistics.median(d / r for d, r in zip(drills, restores, strict=True))
    print(
        f"backup: {_middle(ours)} beside {_middle(alone)} of pg_dump | zstd: {speed:.0%} of its speed (floor"
        f" {SPEED_FLOOR:.0%}); drill {_middle(drills)} beside {_middle(restores)} of pg_restore: {drill:.2f} times (at"
        f" most {DRILL_MOST:.0f}); resident {max(peaks) >> 20} MiB (at most {MEMORY_MOST >> 20})",
        flush=True,
    )
    return speed >= SPEED_FLOOR and drill <= DRILL_MOST and max(peaks) <= MEMORY_MOST


def _middle(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s"


def _timed(act: Callable[[], object]) -> float:
    started = time.monotonic()
    act()
    return time.monotonic() - started


def _dump_alone(settings: Settings, target: Path) -> None:
    """As an administrator would: the same format, the same level of packing, one process each."""
    programs, url = Path(settings.postgres_programs), settings.url_for(Principal.BACKUP)
    with target.open("wb") as file:
        dump = subprocess.Popen(
            [programs / "pg_dump", "--format=custom", "--compress=0", "--enable-row-security", f"--dbname={url}"],
            stdout=subprocess.PIPE,
        )
        subprocess.run(PACK, stdin=dump.stdout, stdout=file, check=True)
        assert dump.wait() == 0
        os.fsync(file.fileno())


def _restore_alone(settings: Settings, source: Path) -> None:
    url, programs = settings.url_for(Principal.MIGRATOR), Path(settings.postgres_programs)
    with connect_server(url) as server:
        scratch = make_scratch(server, url, DRILL, settings.url_for)
        unpack = subprocess.Popen([*UNPACK, source], stdout=subprocess.PIPE)
        subprocess.run(
            [programs / "pg_restore", "--no-owner", f"--dbname={scratch.url_of(Principal.MIGRATOR)}"],
            stdin=unpack.stdout, check=True,
        )  # fmt: skip
        assert unpack.wait() == 0
        drop(server, scratch.name)


def _in_a_child(settings: Settings, what: str) -> tuple[float, int]:
    """Seconds, and the most resident bytes, of a process that does nothing else, its own children left out."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields if name.startswith("database_url_")}
    environment = {**os.environ, "BENCH_WHAT": what, "SIGILO_ENV": "development", "REDIS_URL": "redis://127.0.0.1:1/0"}
    environment |= {name.upper(): value.get_secret_value() for name, value in values.items()}
    for name in ("field_key", "audit_signing_key", "secret_key"):
        environment[name.upper()] = getattr(settings, name).get_secret_value()
    environment |= {
        "SIGILO_HOME": str(settings.sigilo_home), "POSTGRES_PROGRAMS": settings.postgres_programs,
        "BACKUP_AGE_RECIPIENT": settings.backup_age_recipient,
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", CHILD], env=environment, stdout=subprocess.PIPE, text=True)
    peak, watched = 0, psutil.Process(process.pid)
    stop = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.02):
            try:
                peak = max(peak, watched.memory_info().rss)
            except psutil.Error:
                return

    thread = threading.Thread(target=watch)
    thread.start()
    said, _ = process.communicate()
    stop.set()
    thread.join()
    assert process.returncode == 0, said
    return float(said), peak


def child() -> None:
    """In the process of its own: what BENCH_WHAT says; prints the seconds."""
    settings: Any = load_settings()
    with job.exclusive(settings) as connection:
        if os.environ["BENCH_WHAT"] == "backup":
            job.request(connection, "COMMAND")
            claimed = job.claim(connection, settings.backup_store)
            assert claimed is not None
            started = time.monotonic()
            take_backup(settings, connection, claimed, lambda _done, _total: None)
        else:
            row = connection.execute("SELECT id FROM backups ORDER BY finished_at DESC LIMIT 1").fetchone()
            assert row is not None
            started = time.monotonic()
            run_drill(settings, connection, row[0], lambda _done, _total: None)
    print(time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(0 if measure(int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS) else 1)



