"""Where a form may send the browser afterwards: a path of this site and nowhere else."""

from __future__ import annotations

from urllib.parse import urlsplit

PATH_MAX = 500


def local_path(text: str | None, *, otherwise: str = "/") -> str:
    """``text`` when it is a path of this site, else ``otherwise``: a link must not lead elsewhere by way of us."""
    if not text or len(text) > PATH_MAX or not text.startswith("/") or text.startswith("//"):
        return otherwise
    if "\\" in text or any(ord(character) < 33 for character in text):
        return otherwise
    parts = urlsplit(text)
    return otherwise if parts.scheme or parts.netloc else text
