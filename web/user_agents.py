"""What a person would call the browser that a session was started with: ``Firefox · Linux``."""

from __future__ import annotations

# The most particular first: Edge says Chrome too, and Chrome says Safari.
BROWSERS = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"),
)  # fmt: skip
SYSTEMS = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)  # fmt: skip


def browser_name(user_agent: str | None) -> str | None:
    """Browser and system as far as ``user_agent`` tells; None when it tells nothing known."""
    said = user_agent or ""
    found = [
        next((name for mark, name in table if mark in said), None) for table in (BROWSERS, SYSTEMS)
    ]
    return " · ".join(name for name in found if name) or None
