"""One span a run of a task, below the act that asked for it.

OpenTelemetry's own instrumentor for Celery writes exceptions' texts into its spans, which quote rows, and does not end
the span of a message whose task the sender does not know, as the web server does not.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from celery import Task
from celery.signals import worker_process_init, worker_process_shutdown, worker_shutdown

from integrations.broker import LINKS
from models.raw_connection import RawConnection
from observability.sql_spans import trace_statements
from observability.tracing import TRACEPARENT, span, start_tracing, stop_tracing
from tasks.runtime import settings


def run_span(
    task: Task, slot: str | None, *, passing: tuple[type[BaseException], ...]
) -> AbstractContextManager[None]:
    """Around one run. Celery keeps a message's headers when it sends a retry, so attempts stand beside each other.
    Exceptions of ``passing`` are no failure."""
    request = task.request
    headers = request.headers or {}
    about = {"sigilo.task.name": task.name, "sigilo.task.retries": request.retries or 0}
    about |= {"sigilo.task.id": request.id} if request.id else {}
    about |= {"sigilo.slot": slot} if slot is not None else {}
    links = [each for each in headers.get(LINKS, "").split(",") if each]
    return span(task.name, "consumer", about, parent=headers.get(TRACEPARENT), links=links, passing=passing)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def begin(**_: object) -> None:
    """In the process that runs tasks: a child, or the worker itself where it has none (``--pool solo``)."""
    here = settings()
    if start_tracing(
        here.otel_exporter_otlp_endpoint, ratio=here.otel_traces_sampler_arg, service="sigilo-worker"
    ):
        trace_statements((RawConnection, "first_row"))


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
@worker_shutdown.connect  # type: ignore[untyped-decorator]
def end(**_: object) -> None:
    stop_tracing()
