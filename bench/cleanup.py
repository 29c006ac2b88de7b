"""How long the clean-up's longest batch takes, and how long it holds locks (from its DELETE to its commit), with ten
thousand expired rows of each rule; of an import's files, a hundred megabytes that no compression makes less."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from sqlalchemy import event

from bench.clinic import Clinic, sigilo
from config import Principal
from models.engine import Databases
from models.import_job import PART_BYTES
from services.cleanup_expired import RULES, TooSlow, delete_batch

ROWS = 10_000
PARTS = 400
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
    "ai_requests": (
        "id, use, patient_id, requested_by, acting_role, state, content_hash, inputs, prompt_version, question_cipher,"
        " answer_cipher, finished_at, expires_at",
        f"{NEW_ID}, 'SUMMARY', (SELECT id FROM patients ORDER BY id LIMIT 1), {SOMEBODY}, 'DOCTOR', 'CANCELLED',"
        f" sha256('x'), '[]', 'summary/1', (SELECT string_agg(sha256((n * i)::text::bytea), '')"
        f" FROM generate_series(1, 1000) i), sha256('x'), {LONG_AGO}, {LONG_AGO}",
    ),
    "import_jobs": (
        "id, state, format, source_digest, finished_at", f"{NEW_ID}, 'DONE', 'csv', sha256('x'), {LONG_AGO}"
    ),
    "import_files": (
        "job_id, number, name, sha256, size", f"{ENDED_JOB}, n, 'a.csv', sha256('x'), 8000"
    ),
    "import_file_parts": (
        "job_id, number, part, content",
        f"{ENDED_JOB}, 0, n, (SELECT string_agg(sha256((n * i)::text::bytea), '')"
        f" FROM generate_series(1, {PART_BYTES // 32}) i)",
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
            rows = PARTS if table == "import_file_parts" else ROWS
            connection.execute(f"INSERT INTO {table} ({columns}) SELECT {values} FROM generate_series(1, {rows}) n")
        connection.execute("ANALYZE")
    databases = Databases({Principal.WORKER.value: sigilo(running.home, "db", "url", "--role", "worker")}, pool_size=1)
    print(f"{'clean-up of ' + format(ROWS, ',') + ' rows':52} {'batch':>7} {'longest ms':>10} {'held ms':>8}")
    deleting = [0.0]

    @event.listens_for(databases.engine(Principal.WORKER), "before_cursor_execute")
    def note(*given: Any) -> None:
        if given[2].startswith(("DELETE", "UPDATE")):
            deleting[0] = time.perf_counter()

    for rule in RULES:
        longest, held, most, count = 0.0, 0.0, rule.batch, rule.batch
        while count == most:
            deleting[0] = started = time.perf_counter()
            try:
                with databases.session(Principal.WORKER) as session:
                    count = delete_batch(session, rule, most)
            except TooSlow:
                most = count = max(1, most // 2)
            ended = time.perf_counter()
            longest, held = max(longest, (ended - started) * 1000), max(held, (ended - deleting[0]) * 1000)
        above = "" if held <= BATCH_MS_MAX else f"  above {BATCH_MS_MAX:.0f} ms"
        print(f"{rule.name:52} {most:7} {longest:10.1f} {held:8.1f}{above}", flush=True)
    databases.dispose()
