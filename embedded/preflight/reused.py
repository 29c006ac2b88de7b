"""Rows that ``sigilo doctor`` and ``sigilo smoke`` look at already."""

from __future__ import annotations

from collections.abc import Callable

from embedded.preflight.check import Check, FailedError, NotHereError, Phase
from embedded.preflight.ground import Ground

# Name there → phase, row of the original analysis, name here.
DOCTOR = {
    "Settings": (Phase.BEFORE, 14, "Settings"),
    "Secrets": (Phase.BEFORE, 21, "Secrets are strong, of their own, and read by nobody else"),
    "Signing keys": (Phase.BEFORE, 21, "Signing keys"),
    "PostgreSQL": (Phase.BEFORE, 23, "Database roles and encryption"),
    "Redis": (Phase.BEFORE, 12, "Redis"),
    "Schema": (Phase.BEFORE, 24, "Migrations are applied"),
    "Archive of changes": (Phase.BEFORE, 20, "Archive of changes (WAL)"),
}
SMOKE = {
    "Process": (Phase.DURING, 24, "The process answers"),
    "Readiness": (Phase.DURING, 24, "Ready for requests"),
    "Health": (Phase.DURING, 17, "Health of every part"),
    "Version": (Phase.DURING, 15, "The release is the one that was switched to"),
    "TLS": (Phase.DURING, 23, "Certificate"),
    "Headers": (Phase.DURING, 23, "Security headers"),
    "Sign-in page": (Phase.DURING, 24, "Sign-in page"),
    "Static files": (Phase.AFTER, 24, "Cache: files that never change"),
    "Strangers": (Phase.DURING, 24, "Strangers get nothing"),
    "Sign-in": (Phase.AFTER, 24, "People sign in and out"),
}


def checks() -> list[Check]:
    found = [Check(*place, _of_doctor(name)) for name, place in DOCTOR.items()]
    return found + [Check(*place, _of_smoke(name)) for name, place in SMOKE.items()]


def _of_doctor(name: str) -> Callable[[Ground], str]:
    def look(ground: Ground) -> str:
        if name != "Settings" or ground.is_elsewhere:
            _ = ground.settings  # or it can't be seen from here
        finding = ground.found.get(name)
        if finding is None:
            raise FailedError("was not looked at: `sigilo doctor` says why")
        if not finding.is_well:
            raise FailedError(finding.text)
        return finding.text

    return look


def _of_smoke(name: str) -> Callable[[Ground], str]:
    def look(ground: Ground) -> str:
        if name == "Sign-in" and not ground.given.email:
            raise NotHereError("needs somebody's login: give --credentials FILE and --as WHO")
        seen = ground.seen.get(name)
        if seen is None:
            raise FailedError(f"nobody answers at {ground.url}")
        if not seen.is_well:
            raise FailedError(seen.text)
        return seen.text

    return look
