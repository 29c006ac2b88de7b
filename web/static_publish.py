"""Copy static files to where a proxy serves them from: ``<folder>/static/<fingerprint>/<path>``, as in their addresses.

A page that the former release made asks for that release's files, also when the next one has begun to serve. So each
release adds its own, and leaves those of others for as long as such a page may stand open.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from web.static_files import compressed, files

KEPT_SECONDS = 90 * 86400.0  # after the last start of a release that has the file


def publish_static(folder: Path) -> None:
    """Each file whole or not at all, beside it its ``.gz`` where that saves something; then remove what no release had
    for 90 days. Raises OSError where ``folder`` can't be written."""
    top = folder / "static"
    for name, (fingerprint, content) in files().items():
        place = top / fingerprint
        for parent in (top, *(place / each for each in reversed(Path(name).parents))):
            _readable(parent)
        _put(place / name, content)
        packed = compressed(name)
        if packed is not None:
            _put(place / f"{name}.gz", packed)
        os.utime(place)
    for old in top.iterdir():
        if old.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)  # the other colour, which starts too, may be doing the same


def _readable(folder: Path) -> None:
    """For whoever the proxy runs as."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)


def _put(path: Path, content: bytes) -> None:
    """What is there already has this content: its address says so."""
    if path.exists():
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")  # two colours may start at once
    partial.write_bytes(content)
    partial.chmod(0o644)
    partial.replace(path)
