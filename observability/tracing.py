"""One act as one tree of spans, from the request through SQL and Redis to the task that a worker runs, and to the model
that it asks.

Off until ``start_tracing`` is given an address: until then nothing of OpenTelemetry is imported, and every function
here returns at once. A span carries names, numbers and opaque ids of a closed list (``ATTRIBUTES``): no path, no query,
no body, no parameter of a statement, no exception's text, nobody's name.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span, SpanContext, Tracer

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int]

# Everything that a span may say; a test looks that nothing else leaves.
ATTRIBUTES = frozenset(
    {
        "http.request.method", "http.route", "http.response.status_code", "sigilo.request.id", "sigilo.role",
        "db.system.name", "db.operation.name", "db.query.text", "db.response.status_code",
        "gen_ai.provider.name", "gen_ai.operation.name", "gen_ai.request.model",
        "sigilo.task.name", "sigilo.task.id", "sigilo.task.retries", "sigilo.task.outcome", "sigilo.slot",
        "error.type", "sigilo.spans.left_out",
    }
)  # fmt: skip
# Statements of one request or run that are shown. An import of an hour has a hundred thousand; no trace is that large.
MOST_CHILDREN = 500
TRACEPARENT = "traceparent"  # the W3C's header, in messages as it is in requests
STOP_SECONDS = 1.0


class _Process:
    """What one process has, once tracing is on."""

    def __init__(self) -> None:
        self.library: Any = None  # opentelemetry.trace: an import statement costs more at each call
        self.tracer: Tracer | None = None
        self.provider: TracerProvider | None = None


_process = _Process()
_NOTHING: AbstractContextManager[None] = nullcontext()


def start_tracing(endpoint: str, *, ratio: float, service: str) -> bool:
    """Send spans of this process, as ``service``, to the OTLP/HTTP collector at ``endpoint``; ``ratio`` (0–1) of the
    traces that begin here. Call it after the last fork: a thread sends. Gives whether tracing began: not without an
    address, and not twice."""
    if not endpoint or _process.tracer is not None:
        return False
    from opentelemetry import trace

    from observability.span_export import make_provider

    _process.library = trace
    _process.provider = make_provider(endpoint, ratio=ratio, service=service)
    _process.tracer = _process.provider.get_tracer("sigilo")
    return True


def stop_tracing() -> None:
    """Send what waits, for at most a second: a collector that hangs holds up no end."""
    provider, _process.provider, _process.tracer = _process.provider, None, None
    if provider is not None:
        # The library waits half a minute, which is longer than whoever stops us does.
        sending = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
        sending.start()
        sending.join(STOP_SECONDS)


def is_tracing() -> bool:
    return _process.tracer is not None


def is_recording() -> bool:
    """Whether something is being traced at this point, and sampled."""
    if _process.tracer is None:
        return False
    recording: bool = _process.library.get_current_span().is_recording()
    return recording


@contextmanager
def span(
    name: str,
    kind: Kind = "internal",
    attributes: Attributes | None = None,
    *,
    parent: str | None = None,
    links: Sequence[str] = (),
    passing: tuple[type[BaseException], ...] = (),
) -> Iterator[None]:
    """A span around the block: below ``parent`` (a traceparent), else below the current span, else a root.

    ``links`` are traceparents of what it was done for as well. An exception makes it a failure, named by its type,
    unless it is one of ``passing``.
    """
    if _process.tracer is None:
        yield
        return
    made = begin_span(name, kind, attributes, parent=parent, links=links)
    with _process.library.use_span(made, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            if not isinstance(error, passing):
                fail(made, error)
            raise


def begin_span(
    name: str,
    kind: Kind = "internal",
    attributes: Attributes | None = None,
    *,
    parent: str | None = None,
    links: Sequence[str] = (),
    is_root: bool = False,
) -> Span:
    """As ``span``, for whoever ends it by hand; it is not made current. Tracing must be on."""
    from opentelemetry.context import Context

    assert _process.tracer is not None  # noqa: S101  (said above)
    return _process.tracer.start_span(
        name,
        context=Context() if is_root else context_of(parent),
        kind=_process.library.SpanKind[kind.upper()],
        attributes=attributes,
        links=list(_links(links)),
        record_exception=False,
        set_status_on_exception=False,
    )


def child_span(name: str, attributes: Attributes) -> AbstractContextManager[None]:
    """A client's span where something is being traced, nothing elsewhere: what a process asks its servers by itself,
    every second, is no act of anybody."""
    if not is_recording() or not _has_room(_process.library.get_current_span()):
        return _NOTHING
    return _Child(name, attributes)


class _Child:
    """A span that nothing stands below, so it is not made current, which costs as much as the span itself."""

    __slots__ = ("_made",)

    def __init__(self, name: str, attributes: Attributes) -> None:
        assert _process.tracer is not None  # noqa: S101  (said above)
        self._made = _process.tracer.start_span(name, kind=_process.library.SpanKind.CLIENT, attributes=attributes)

    def __enter__(self) -> None:
        return

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            fail(self._made, error)
        self._made.end()


def annotate(attributes: Attributes) -> None:
    """Add to the current span, where there is one."""
    if _process.tracer is not None:
        _process.library.get_current_span().set_attributes(dict(attributes))


def fail(made: Span, error: BaseException) -> None:
    """The span failed of ``error``: its type and SQLSTATE, never its text, which quotes rows."""
    from opentelemetry.trace import StatusCode

    made.set_status(StatusCode.ERROR)
    made.set_attribute("error.type", f"{type(error).__module__}.{type(error).__qualname__}")
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(sqlstate, str):
        made.set_attribute("db.response.status_code", sqlstate)


def current_trace_id() -> str | None:
    """32 hexadecimal digits; None where nothing is being traced. Of a trace that was not sampled too: logs of several
    processes still belong together by it."""
    context = _current()
    return None if context is None else f"{context.trace_id:032x}"


def current_traceparent() -> str | None:
    """What to send along so that another process goes on with this trace; None where nothing is being traced."""
    context = _current()
    if context is None:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def context_of(traceparent: str | None) -> Context | None:
    """The library's context of a traceparent; None of none and of what is no traceparent. What vendors write beside
    it (tracestate) is not read: it is free text."""
    if traceparent is None:
        return None
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({TRACEPARENT: traceparent}, context=Context()) or None


def span_context_of(traceparent: str | None) -> SpanContext | None:
    """The same, of the span itself."""
    from opentelemetry import trace

    context = context_of(traceparent)
    return None if context is None else trace.get_current_span(context).get_span_context()


def _has_room(parent: Span) -> bool:
    """Whether one more child of ``parent`` is shown; else it says how many are not."""
    count: int = getattr(parent, "sigilo_children", 0) + 1
    parent.sigilo_children = count  # type: ignore[attr-defined]
    if count > MOST_CHILDREN:
        parent.set_attribute("sigilo.spans.left_out", count - MOST_CHILDREN)
    return count <= MOST_CHILDREN


def _links(traceparents: Sequence[str]) -> Iterator[Link]:
    from opentelemetry.trace import Link

    for each in traceparents:
        context = span_context_of(each)
        if context is not None and context.trace_flags.sampled:
            yield Link(context)


def _current() -> SpanContext | None:
    if _process.tracer is None:
        return None
    context: SpanContext = _process.library.get_current_span().get_span_context()
    return context if context.is_valid else None
