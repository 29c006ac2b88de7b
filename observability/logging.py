"""One JSON object a line on standard output: times in UTC, request and trace ids, and nothing about a patient.

Exceptions are logged as their type and where they passed, never with their message, arguments or local
variables: a driver's message quotes the row it refused.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
import structlog

from observability.tracing import current_trace_id

Level = Literal["debug", "info", "warning", "error"]
Event = MutableMapping[str, Any]
STACK_FRAMES = 12
# Loggers whose information lines say what a request was about.
QUIET = ("urllib3", "flask-limiter", "flask_wtf.csrf", "alembic", "asyncio", "apscheduler")


def configure_logging(level: Level = "info") -> None:
    """Send structlog's and the standard library's records to standard output as JSON lines."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared = (
        structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, add_time, add_trace,
        describe_exception,
    )  # fmt: skip
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(dump)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(dump_text),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def begin_request(request_id: str) -> None:
    """From here to ``end_request``, every line of this thread says which request it is of."""
    structlog.contextvars.bind_contextvars(requestId=request_id)


def end_request() -> None:
    structlog.contextvars.unbind_contextvars("requestId")


def add_time(_: Any, __: str, event: Event) -> Event:
    event["time"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


def add_trace(_: Any, __: str, event: Event) -> Event:
    """The id by which lines of several processes belong to one act; only where tracing is on."""
    trace_id = current_trace_id()
    if trace_id is not None:
        event["traceId"] = trace_id
    return event


def describe_exception(_: Any, __: str, event: Event) -> Event:
    """Replace ``exc_info`` by the exception's type, what the database calls the fault, and the way it took."""
    found = event.pop("exc_info", None)
    error = found[1] if isinstance(found, tuple) else found
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = exception_names(error)
        event["stack"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-STACK_FRAMES:]
        ]
    return event


def exception_names(error: BaseException) -> list[str]:
    """The exception's type and those of its causes, with SQLSTATE and constraint where there is one."""
    names: list[str] = []
    current: BaseException | None = error
    while current is not None and len(names) < 5:
        name = f"{type(current).__module__}.{type(current).__qualname__}"
        sqlstate = getattr(current, "sqlstate", None)
        constraint = getattr(getattr(current, "diag", None), "constraint_name", None)
        names.append(" ".join(str(part) for part in (name, sqlstate, constraint) if part))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return names


def dump(event: Any, **_: Any) -> bytes:
    """One line of JSON. What orjson doesn't know is named by its type, not shown."""
    return orjson.dumps(event, default=lambda value: f"<{type(value).__name__}>", option=orjson.OPT_NON_STR_KEYS)


def dump_text(event: Any, **_: Any) -> str:
    return dump(event).decode()


def write_line(event: Event) -> None:
    """One line past the processors, for what is written at every request."""
    event["time"] = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    add_trace(None, "", event)
    stream = sys.stdout.buffer
    stream.write(orjson.dumps(event) + b"\n")
    stream.flush()
