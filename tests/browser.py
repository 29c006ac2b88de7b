"""The Chromium that browser tests drive: an installed one, else Playwright's own (see scripts/install-chromium)."""

from __future__ import annotations

import shutil

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def chromium_path() -> str | None:
    """Path of the installed Chromium; None to let Playwright use its own."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)
