"""Closed-loop load from wrk: a few connections that each ask again as soon as they are answered."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
PACED_CONNECTIONS, ANSWER_MS = 96, 10
MICROSECONDS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw: requests per second, latencies in milliseconds, and answers that were no 2xx."""

    per_second: float
    median_ms: float
    p99_ms: float
    errors: int


def run(
    url: str, *, seconds: int, token: str | None = None, bodies: list[object] | None = None, rate: int | None = None
) -> Load:
    """Load ``url`` with GETs, or with POSTs of ``bodies`` in turn, as fast as it answers or at about ``rate`` a second.
    Raises RuntimeError without wrk."""
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is missing: an administrator runs scripts/install-wrk once")
    connections = CONNECTIONS if rate is None else PACED_CONNECTIONS
    command = ["wrk", "-t", "2", "-c", str(connections), "-d", f"{seconds}s", "--latency"]
    if token is not None:
        command += ["-H", f"Authorization: Bearer {token}"]
    with tempfile.TemporaryDirectory() as folder:
        if bodies is not None:
            script = Path(folder) / "post.lua"
            script.write_text(_post_script(bodies))
            command += ["-s", str(script), "-H", "Content-Type: application/json"]
        if rate is not None:
            script = Path(folder) / "pace.lua"
            # Each connection waits so long between an answer and its next request; answers take a little themselves.
            script.write_text(f"function delay() return {1000 * connections / rate - ANSWER_MS:.0f} end\n")
            command += ["-s", str(script)]
        done = subprocess.run([*command, url], capture_output=True, text=True, check=True, timeout=seconds + 30)
    return _read(done.stdout)


def _post_script(bodies: list[object]) -> str:
    texts = ", ".join(f"[====[{json.dumps(body)}]====]" for body in bodies)
    return (
        f"local bodies = {{{texts}}}\nlocal n = 0\n"
        "request = function()\n  n = n + 1\n"
        '  return wrk.format("POST", nil, nil, bodies[n % #bodies + 1])\nend\n'
    )


def _read(text: str) -> Load:
    def latency(label: str) -> float:
        found = re.search(rf"{label}\s+([\d.]+)(us|ms|s|m)\b", text)
        return float(found[1]) * MICROSECONDS[found[2]] / 1e3 if found else float("nan")

    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = (int(bad[1]) if bad else 0) + (sum(map(int, broken.groups())) if broken else 0)
    if rate is None:
        raise RuntimeError(f"wrk said nothing usable:\n{text}")
    return Load(float(rate[1]), latency("50%"), latency("99%"), errors)
