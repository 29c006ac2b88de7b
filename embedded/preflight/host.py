"""The machine below: its firewall and how one gets into it. A container does not see that, so the machine says it
itself: ``deploy/host --check`` prints a line for each thing, and its output is read here."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from embedded.preflight.check import Outcome, Phase, State
from embedded.preflight.ground import Ground

LINE = re.compile(r"(?P<state>ok|bad|unknown) (?P<name>[^:]+): (?P<evidence>.+)")
STATES = {"ok": State.PASS, "bad": State.FAIL}
NEEDED = {"firewall": "Host firewall", "ssh": "SSH by key alone"}  # a word of the line's name → the row's name
OLDEST_DAYS = 7
ROW = 23
HOW = "on the host run `sudo deploy/host --check > host.txt` and give --host-report host.txt"


def look_at_host(ground: Ground) -> Iterator[Outcome]:
    """An outcome for every line of the report, and for what it should have said and did not."""
    path = ground.given.host_report
    if path is None:
        yield from (_said(name, State.NOT_HERE, f"not seen from here: {HOW}") for name in NEEDED.values())
        return
    try:
        text = path.read_text(encoding="utf-8")
        days = (time.time() - path.stat().st_mtime) / 86_400
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        yield _said("Host report", State.FAIL, f"{path}: {reason}; {HOW}")
        return
    if days > OLDEST_DAYS:
        yield _said("Host report", State.FAIL, f"{path} is {days:.0f} days old: {HOW}")
    said = [found for line in text.splitlines() if (found := LINE.fullmatch(line.strip()))]
    for found in said:
        # The host was asked and did not say: nobody knows that it is well.
        state = STATES.get(found["state"], State.FAIL)
        unsaid = "" if found["state"] in STATES else f"; {HOW}"
        yield _said(f"Host: {found['name'].strip()}", state, found["evidence"] + unsaid)
    for word, name in NEEDED.items():
        if not any(word in found["name"].lower() for found in said):
            yield _said(name, State.FAIL, f"{path} says nothing of it: {HOW}")


def _said(name: str, state: State, text: str) -> Outcome:
    return Outcome(Phase.BEFORE, ROW, name, state, text)
