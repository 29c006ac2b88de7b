"""The command lines of the long-running processes: the one place that names the web server."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

WEB_WORKERS = 2
# More threads than this only wait for the interpreter's lock; granian warns above it.
WEB_THREADS = min(8, 2 * (os.cpu_count() or 1) + 1)
TASK_PROCESSES = 1
PROMPT = ("mail", "access")
INFERENCE = "inference"


def web_command(
    *, host: str, port: int, workers: int = WEB_WORKERS, threads: int = WEB_THREADS, drain: float = 0
) -> list[str]:
    """granian over ``wsgi:app``: ``workers`` processes of ``threads`` threads each, HTTP/1.1 alone, which go on
    for ``drain`` seconds after SIGTERM."""
    # Benchmarks put their yardsticks beside the application, in the same server.
    app = os.environ.get("SIGILO_WEB_APP", "wsgi:app")
    return [
        sys.executable, "-m", "embedded.granian_server", app, "--host", host, "--port", str(port),
        "--workers", str(workers), "--threads", str(threads), "--drain", f"{drain:g}",
    ]  # fmt: skip


def worker_command(
    *, processes: int = TASK_PROCESSES, queues: Sequence[str] = (), without: Sequence[str] = ()
) -> list[str]:
    """A Celery worker with ``processes`` task processes for ``queues``, by default all, but ``without`` some.
    0 processes: it works in its own, which takes half the memory and enforces no time limits: its tasks keep their own
    time (celery_app.SOFT_LIMIT)."""
    # Celery's advice against root is for servers; `make run` as root is somebody trying things out.
    quiet = ["-W", "ignore:You're running the worker with superuser privileges"] if os.geteuid() == 0 else []
    pool = ["--concurrency", str(processes)] if processes else ["--pool", "solo"]
    chosen = ["--queues", ",".join(queues), "--hostname", f"{'-'.join(queues)}@%h"] if queues else []
    chosen += ["--exclude-queues", ",".join(without)] if without else []
    return [
        sys.executable, *quiet, "-m", "celery", "--app", "celery_app", "--quiet", "worker", *pool, *chosen,
        "--loglevel", "warning", "--without-gossip", "--without-mingle",
    ]  # fmt: skip


def audit_worker_command() -> list[str]:
    """The worker that seals the trail and does nothing else: an import of an hour must not delay it."""
    return worker_command(processes=0, queues=("audit",))


def prompt_worker_command(*, has_model: bool) -> list[str]:
    """The worker of what is short and waits for nobody's import: mail, looking for unusual accesses, and questions to
    the model where there is none, since rules answer at once."""
    return worker_command(processes=0, queues=PROMPT if has_model else (*PROMPT, INFERENCE))


def inference_worker_command(answers: int = 1) -> list[str]:
    """The worker that waits for a slow model, and keeps nobody else waiting: for as many ``answers`` at a time as
    AI_PARALLEL says."""
    return worker_command(processes=0 if answers == 1 else answers, queues=(INFERENCE,))


def other_worker_command() -> list[str]:
    return worker_command(without=("audit", *PROMPT, INFERENCE))


def scheduler_command() -> list[str]:
    return [sys.executable, "-m", "cli", "scheduler"]


def metrics_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """``environ`` and a fresh ``folder`` where the processes of one server share their metrics; the last run's would
    add up."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return {**environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}


def worker_environment(environ: Mapping[str, str], home: Path, *, number: int = 0) -> dict[str, str]:
    """``environ`` and, where WORKER_METRICS_PORT is set, a port of its own for the ``number``-th worker of one machine
    and a fresh folder that its task processes count in."""
    first = environ.get("WORKER_METRICS_PORT", "")
    if not first.isdigit() or int(first) == 0:
        return dict(environ)  # the worker's settings say what is wrong with anything else
    port = str(int(first) + number)
    return metrics_environment({**environ, "WORKER_METRICS_PORT": port}, home / "metrics" / f"worker-{port}")


def become(command: list[str], environment: Mapping[str, str]) -> None:
    """Replace this process by ``command``: signals then reach the server itself."""
    os.execve(command[0], command, dict(environment))  # noqa: S606
