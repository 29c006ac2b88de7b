"""The command lines of the long-running processes: the one place that names the web server."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

WEB_WORKERS = 2
# More threads than this only wait for the interpreter's lock; granian warns above it.
WEB_THREADS = min(8, 2 * (os.cpu_count() or 1) + 1)
TASK_PROCESSES = 1


def web_command(*, host: str, port: int, workers: int = WEB_WORKERS, threads: int = WEB_THREADS) -> list[str]:
    """granian over ``wsgi:app``: ``workers`` processes of ``threads`` threads each, HTTP/1.1 alone."""
    # Benchmarks put their yardsticks beside the application, in the same server.
    app = os.environ.get("SIGILO_WEB_APP", "wsgi:app")
    return [
        sys.executable, "-m", "granian", app, "--interface", "wsgi",
        "--host", host, "--port", str(port), "--http", "1", "--no-ws",
        "--workers", str(workers), "--blocking-threads", str(threads),
        # A worker that ends is replaced; one that hangs at the stop is ended.
        "--respawn-failed-workers", "--respawn-interval", "0.5", "--workers-kill-timeout", "8",
        "--log-level", "warning",
    ]  # fmt: skip


def worker_command(*, processes: int = TASK_PROCESSES) -> list[str]:
    """A Celery worker with ``processes`` task processes; one worker needs no gossip with others."""
    # Celery's advice against root is for servers; `make run` as root is somebody trying things out.
    quiet = ["-W", "ignore:You're running the worker with superuser privileges"] if os.geteuid() == 0 else []
    return [
        sys.executable, *quiet, "-m", "celery", "--app", "celery_app", "--quiet", "worker",
        "--concurrency", str(processes), "--loglevel", "warning", "--without-gossip", "--without-mingle",
    ]  # fmt: skip


def scheduler_command() -> list[str]:
    return [sys.executable, "-m", "cli", "scheduler"]


def web_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """``environ`` and a fresh ``folder`` where the workers share their metrics; the last run's would add up."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return {**environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}


def become(command: list[str], environment: Mapping[str, str]) -> None:
    """Replace this process by ``command``: signals then reach the server itself."""
    os.execve(command[0], command, dict(environment))  # noqa: S606
