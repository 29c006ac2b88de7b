"""A worker gives signs of life from when it takes work to when it is told to stop."""

from __future__ import annotations

import threading
from typing import Any

from celery.signals import worker_ready, worker_shutting_down

from integrations.signs_of_life import give_signs
from tasks.runtime import settings

_stopping = threading.Event()


@worker_ready.connect  # type: ignore[untyped-decorator]
def begin(sender: Any, **_: object) -> None:
    """``sender`` is the consumer. A thread of its own: a worker without child processes does nothing else during a
    task."""
    queues = list(sender.app.amqp.queues.consume_from)
    url = settings().redis_url.get_secret_value()
    threading.Thread(target=give_signs, args=[url, queues, _stopping], name="signs-of-life", daemon=True).start()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def end(**_: object) -> None:
    _stopping.set()
