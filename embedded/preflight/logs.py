"""During a deployment: what the processes wrote since the release was switched."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime

from embedded.preflight.check import FailedError, NotHereError
from embedded.preflight.ground import Ground

BAD = ("error", "critical")
MOST_NAMED = 5


def logs_tell_of_no_error(ground: Ground) -> str:
    """Lines of JSON, as they are collected; none of level error since. Other programs' lines are passed over."""
    path = ground.given.log
    if path is None:
        raise NotHereError("needs the processes' output: give it with --log")
    count = 0
    bad: Counter[str] = Counter()
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                said = json.loads(line) if line.startswith("{") else None
                if said is None or datetime.fromisoformat(said["time"]) < ground.given.since:
                    continue
                level, event = str(said["level"]), str(said["event"])
            except (ValueError, KeyError, TypeError):
                continue  # cut off, or not ours
            count += 1
            if level in BAD:
                bad[event] += 1
    since = f"{ground.given.since:%Y-%m-%d %H:%M} UTC"
    if bad:
        named = "; ".join(f"{event} ({number})" for event, number in bad.most_common(MOST_NAMED))
        raise FailedError(f"{bad.total()} of {count} lines since {since} are errors: {named}")
    if not count:
        raise FailedError(f"no line of ours since {since} in {path}: does it hold the processes' standard output?")
    return f"{count} lines since {since}, none of them an error"
