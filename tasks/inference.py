"""Questions to the language model: the rows say what is to be answered, the message only that something may be."""

from __future__ import annotations

import time

from celery import shared_task

from integrations.ollama import make_language_model
from services.ai_run import run_next
from services.field_encryption import field_cipher
from tasks.runtime import databases, settings

# How long a question waits for its turn at a model that answers others; what comes meanwhile waits for the same.
PATIENCE_SECONDS = 5.0
RUN_SECONDS = 20 * 60.0  # then the scheduler wakes the next run; each answer has an end of its own


@shared_task(name="inference.run", autoretry_for=(), max_retries=1)  # type: ignore[untyped-decorator]
def run() -> int:
    """Answer what waits, until nothing does; gives how many."""
    here, deadline, count = settings(), time.monotonic() + RUN_SECONDS, 0
    model = make_language_model(here, patience=PATIENCE_SECONDS)
    while time.monotonic() < deadline and run_next(databases(), field_cipher(here), model):
        count += 1
    return count
