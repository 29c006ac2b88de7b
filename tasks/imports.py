"""Imports that came over HTTP: the rows say what is to do, the message only that something may be."""

from __future__ import annotations

import time

import structlog
from celery import shared_task

from services.import_job import Cancelled, Paused
from tasks.runtime import settings

IMPORT_SECONDS = 45 * 60.0  # below the worker's time limits; the scheduler wakes what is left

log = structlog.get_logger()


@shared_task(name="imports.run")  # type: ignore[untyped-decorator]
def run() -> int:
    """Work on the imports that wait or lost their worker, each from where it stood; gives how many are done."""
    # With FHIR's models, an eighth of what a worker loads: only for whoever imports.
    from services.import_run import run_next_upload

    deadline = time.monotonic() + IMPORT_SECONDS
    finished = 0
    while (seconds := deadline - time.monotonic()) > 0:
        try:
            if run_next_upload(settings(), seconds=seconds) is None:
                break
            finished += 1
        except Cancelled:
            log.info("import cancelled")
        except Paused:
            log.info("import paused")
            break
    return finished
