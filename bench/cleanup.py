"""How long the clean-up's longest batch holds its locks, with ten thousand expired rows of each rule."""

from __future__ import annotations

import time

import psycopg

from bench.clinic import Clinic, sigilo
from config import Principal
from models.engine import Databases
from services.cleanup_expired import RULES, delete_batch

ROWS = 10_000
BATCH_MS_MAX = 100.0

LONG_AGO = "now() - interval '1 year'"
NEW_ID = "gen_random_uuid()"
SOMEBODY = "(SELECT id FROM users ORDER BY id LIMIT 1)"
ENDED_JOB = f"(SELECT id FROM import_jobs WHERE finished_at < {LONG_AGO} + interval '1 day' LIMIT 1)"
# Table → its columns, and what stands in them; what refers to an import's job comes after it.
EXPIRED = {
    "sessions": (
        "id, secret_hash, acting_role, user_id, expires_at",
        f"{NEW_ID}, sha256({NEW_ID}::text::bytea), 'DOCTOR', {SOMEBODY}, {LONG_AGO}",
    ),
    "login_failures": ("kind, key, failures, window_started_at", f"'ip', {NEW_ID}::text, 1, {LONG_AGO}"),
    "idempotency_keys": (
        "key, request_digest, entity_type, entity_id, user_id, expires_at",
        f"{NEW_ID}::text, sha256('x'), 'medical_record', {NEW_ID}, {SOMEBODY}, {LONG_AGO}",
    ),
    "drafts": (
        "id, content, user_id, expires_at",
        f"{NEW_ID}, jsonb_build_object('notes', repeat('Nega cefaleia. ', 100)), {SOMEBODY}, {LONG_AGO}",
    ),
    "rate_limit_log": (
        "id, bucket, outcome, quota, occurred_at", f"{NEW_ID}, 'api', 'refused', '1/day', {LONG_AGO}"
    ),
    "identifier_lookups": ("id, user_id, occurred_at", f"{NEW_ID}, {SOMEBODY}, {LONG_AGO}"),
    "password_links": ("id, kind, user_id, used_at", f"{NEW_ID}, 'reset', {SOMEBODY}, {LONG_AGO}"),
    "import_jobs": (
        "id, state, format, source_digest, finished_at", f"{NEW_ID}, 'DONE', 'csv', sha256('x'), {LONG_AGO}"
    ),
    "import_files": (
        "job_id, number, name, sha256, size, content",
        f"{ENDED_JOB}, n, 'a.csv', sha256('x'), 8000, convert_to(repeat('x', 8000), 'UTF8')",
    ),
    "import_rejects": (
        "id, job_id, file, line, pointer, reason", f"{NEW_ID}, {ENDED_JOB}, 'a.csv', n, 'birth_date', 'is no date'"
    ),
    "dead_letters": (
        "id, task, queue, arguments, error, task_id, attempts, resolved_at",
        f"{NEW_ID}, {NEW_ID}::text, 'default', '{{}}', 'KeyError', {NEW_ID}::text, 1, {LONG_AGO}",
    ),
    "job_runs": ("job, slot, started_at", f"{NEW_ID}::text, {LONG_AGO}, {LONG_AGO}"),
}  # fmt: skip


def measure(running: Clinic) -> None:
    """Print each rule's longest batch, as the worker's role; a slow hour of the machine fails nothing."""
    with psycopg.connect(running.superuser_url, autocommit=True) as connection:
        for table, (columns, values) in EXPIRED.items():
            connection.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM generate_series(1, {ROWS}) n")
        connection.execute("ANALYZE")
    databases = Databases({Principal.WORKER.value: sigilo(running.home, "db", "url", "--role", "worker")}, pool_size=1)
    print(f"{'clean-up of ' + format(ROWS, ',') + ' rows':52} {'batch':>7} {'longest ms':>10}")
    for rule in RULES:
        longest, count = 0.0, rule.batch
        while count == rule.batch:
            started = time.perf_counter()
            with databases.session(Principal.WORKER) as session:
                count = delete_batch(session, rule)
            longest = max(longest, (time.perf_counter() - started) * 1000)
        note = "" if longest <= BATCH_MS_MAX else f"  above {BATCH_MS_MAX:.0f} ms"
        print(f"{rule.table:52} {rule.batch:7} {longest:10.1f}{note}", flush=True)
    databases.dispose()
