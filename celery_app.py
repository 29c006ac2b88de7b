"""Worker entry: ``celery --app celery_app worker``. Celery's settings, each with its reason."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from loading import loading

with loading():
    from celery import Celery
    from celery.signals import import_modules, setup_logging, worker_ready
    from kombu import Queue

    from config import PRODUCT_VERSION, load_settings
    from integrations.broker import DEFAULT_QUEUE, QUEUES, ROUTES, broker_url
    from observability.logging import configure_logging
    from observability.metrics_server import serve_metrics

# Seconds. Whatever runs longer is a fault; long work is a row that resumes, so being stopped costs it little.
# A worker without child processes (embedded/serving.py: those of the queues audit, mail and access) enforces no limit,
# neither these nor a task's own: there a task looks at the clock between two steps, and each step has an end of its own
# (statement_timeout, or the time-outs of what is spoken to).
SOFT_LIMIT = 3300
HARD_LIMIT = 3600
# Between the soft and the hard limit of backups, to end programs and remove what was half-written.
BACKUP_GRACE = 300
BACKUP_TASKS = ("backups.daily", "backups.run")

# Modules with tasks, and what a worker does beside them. Tasks are shared, so they know nothing of this module.
TASKS = (
    "tasks.access_alerts", "tasks.audit", "tasks.backups", "tasks.cleanup", "tasks.imports", "tasks.inference",
    "tasks.mail", "tasks.signs_of_life",
)  # fmt: skip


def worker_settings() -> dict[str, Any]:
    """Celery's settings, read when the worker starts and not when this module is imported."""
    settings = load_settings()
    backup_limit = settings.backup_run_minutes * 60
    # Redis gives a message to another worker when it was not acknowledged for this long.
    visibility_timeout = max(2 * HARD_LIMIT, backup_limit + 2 * BACKUP_GRACE)
    return {
        "broker_url": broker_url(settings.redis_url.get_secret_value()),
        "broker_transport_options": {
            "visibility_timeout": visibility_timeout,
            # A Redis that hangs, or a half-open connection, is noticed in seconds instead of never.
            "socket_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        # Said in all three places, as Celery's Redis page asks; one below the hard limit runs a task twice.
        "result_backend_transport_options": {"visibility_timeout": visibility_timeout},
        "visibility_timeout": visibility_timeout,
        # Redis may be away for as long as it likes: the worker comes back by itself.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # What runs while the connection is lost will be delivered again: stop it, so that it does not run twice.
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        # Acknowledge when done, not when taken, and give back what a killed child had: work survives a kill. This is
        # for when the base task's own way of giving it back, which counts, does not reach Redis.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # Take one message at a time: a message waiting behind a long task could be done by somebody else.
        "worker_prefetch_multiplier": 1,
        "task_soft_time_limit": SOFT_LIMIT,
        "task_time_limit": HARD_LIMIT,
        # A dump can't be taken up where it was left, so it gets all of a run, and its drill, where that takes long too,
        # the next one.
        "task_annotations": {
            name: {"soft_time_limit": backup_limit, "time_limit": backup_limit + BACKUP_GRACE} for name in BACKUP_TASKS
        },
        # A deployment gives what runs ten seconds to finish; the rest is put back.
        "worker_soft_shutdown_timeout": 10.0,
        # JSON only: a pickle from whoever reaches Redis would be code.
        "accept_content": ["json"],
        "task_serializer": "json",
        # Outcomes are rows of ours; results in Redis would be a second truth, and may hold personal data.
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # Queues apart, so that a slow model or an import never delays the trail.
        "task_queues": [Queue(name) for name in QUEUES],
        "task_default_queue": DEFAULT_QUEUE,
        "task_routes": ROUTES,
        # A misspelt queue is an error and not a place where messages wait for ever.
        "task_create_missing_queues": False,
        "enable_utc": True,
        "timezone": "UTC",
        # Arguments are ids, but representations of them have no business in logs and events.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "include": TASKS,
    }


app = Celery("sigilo", task_cls="tasks.base:BaseTask")
app.add_defaults(worker_settings)


@import_modules.connect  # type: ignore[untyped-decorator]
def load_tasks(**_: Any) -> None:
    """What a worker imports next by itself, without looking for garbage in between."""
    with loading():
        for module in TASKS:
            import_module(module)


@setup_logging.connect  # type: ignore[untyped-decorator]
def log_as_json(**_: Any) -> None:
    """Our logging in place of Celery's, whose line about a failed task quotes the exception's text, and so
    perhaps a row: the base task says what is safe to say. Its two lines a task are left out too."""
    configure_logging(load_settings().log_level)
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)


@worker_ready.connect  # type: ignore[untyped-decorator]
def show_metrics(**_: Any) -> None:
    """In the worker itself and not in a child, which may be killed: what they count lies in a folder that they share
    (embedded/serving.py: worker_environment)."""
    settings = load_settings()
    if settings.worker_metrics_port:
        serve_metrics(
            settings.metrics_host, settings.worker_metrics_port, networks=settings.metrics_networks,
            token=settings.metrics_token.get_secret_value(), version=PRODUCT_VERSION,
        )  # fmt: skip
