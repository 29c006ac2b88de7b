"""Imports that came over HTTP: the rows say what is to do, the message only that something may be."""

from __future__ import annotations

from celery import shared_task

from config import load_settings
from services.import_run import run_next_upload


@shared_task(name="imports.run")  # type: ignore[untyped-decorator]
def run() -> int:
    """Work on every import that waits or lost its worker; gives how many. Each resumes where it stood."""
    settings = load_settings()
    finished = 0
    while run_next_upload(settings) is not None:
        finished += 1
    return finished
