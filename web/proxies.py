"""Flask's ``g``, ``request`` and ``current_app``, looked up once where something is asked of them at every request."""

from __future__ import annotations

from typing import TypeVar, cast

T = TypeVar("T")


def real(proxy: T) -> T:
    """The object behind one of Flask's proxies, which look it up anew at each access."""
    return cast(T, proxy._get_current_object())  # type: ignore[attr-defined]
