"""Whether this server has been told to end: a file in the folder that its processes share says so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # each start has a new one (embedded/serving.py)


def marker(environ: Mapping[str, str]) -> Path | None:
    """The file; None where the processes share no folder, as under a test's own server."""
    folder = environ.get(SHARED_FOLDER)
    return Path(folder) / "draining" if folder else None


def is_draining() -> bool:
    said_in = marker(os.environ)
    return said_in is not None and said_in.exists()
