"""What 200 open dashboards cost: each asks once a second whether anything changed, and reads anew when it did.

Run with ``make bench`` after the other figures, or alone: ``python -m bench.live``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psycopg

from bench.clinic import Clinic, clinic, processor_seconds

DASHBOARDS = 200
SECONDS = 20
CORES_MAX = 1.0  # web and PostgreSQL together, while nothing changes: half of a small machine
LATE_SECONDS_MAX = 2.0  # of the token, for the last of them
# Each dashboard is somebody else's: the roles of a clinic in turn.
ROLES = ("DOCTOR", "DOCTOR", "NURSE", "RECEPTION")

SIGN_IN = """
    WITH person AS (
        INSERT INTO users (id, email, full_name) VALUES (%(user)s, %(email)s, 'Painel Aberto') RETURNING id
    ), role AS (
        INSERT INTO user_roles (user_id, role) SELECT id, %(role)s FROM person
    )
    INSERT INTO sessions (id, secret_hash, user_id, acting_role, expires_at)
    SELECT %(session)s, %(hash)s, id, %(role)s, now() + interval '1 hour' FROM person
"""


@dataclass
class Seen:
    """What the dashboards met with: latencies of /live in ms; when each saw the change and had read it anew."""

    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    told_at: list[float] = field(default_factory=list)
    shown_at: list[float] = field(default_factory=list)


class Dashboard:
    """One browser tab: a connection that is kept, and live.js's loop."""

    def __init__(self, address: tuple[str, int], cookie: str, seen: Seen) -> None:
        self._address = address
        self._cookie = cookie
        self._seen = seen
        self._token: str | None = None

    async def watch(self, delay: float, until: float, *, reads: bool) -> None:
        """Ask every second from ``delay`` seconds on; when the token differs, note it, and read if ``reads``."""
        await asyncio.sleep(delay)
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            while time.monotonic() < until:
                started = time.monotonic()
                status, body = await self._get(reader, writer, "/live", "application/json")
                answered = time.monotonic()
                self._seen.latencies.append((answered - started) * 1000)
                if status != 200:
                    self._seen.errors += 1
                else:
                    token = json.loads(body)["token"]
                    if self._token not in (None, token):
                        self._seen.told_at.append(answered)
                        if reads:
                            status, _ = await self._get(reader, writer, "/", "text/html", "HX-Target: div#day\r\n")
                            self._seen.errors += status != 200
                            self._seen.shown_at.append(time.monotonic())
                    self._token = token
                await asyncio.sleep(max(0.0, started + 1 - time.monotonic()))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _get(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, accept: str, more: str = ""
    ) -> tuple[int, bytes]:
        htmx = f"HX-Request: true\r\n{more}" if more else ""
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: clinic\r\nCookie: sigilo={self._cookie}\r\nAccept: {accept}\r\n"
            f"Sec-Fetch-Site: same-origin\r\nSigilo-Background: 1\r\n{htmx}\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def measure(running: Clinic) -> bool:
    """Print what the dashboards cost and how soon they show a change; gives whether both are within bounds."""
    print(f"{DASHBOARDS} open dashboards, each asking once a second for {SECONDS} s", flush=True)
    cookies = _sign_in(running)
    before = processor_seconds(running)
    started = time.monotonic()
    seen = asyncio.run(_watch(running, cookies, SECONDS))
    seconds = time.monotonic() - started
    cost = {name: (value - before.get(name, 0.0)) / seconds for name, value in processor_seconds(running).items()}
    cores = sum(cost.values())
    ordered = sorted(seen.latencies)
    print(
        f"  {len(ordered) / seconds:.0f} requests/s  p50 {ordered[len(ordered) // 2]:.1f} ms  "
        f"p95 {ordered[int(len(ordered) * 0.95)]:.1f} ms  errors {seen.errors}"
    )
    shares = ", ".join(f"{name} {value:.2f}" for name, value in sorted(cost.items()))
    print(f"  cores: {shares}; together {cores:.2f} (at most {CORES_MAX})")

    changed: list[float] = []
    again = asyncio.run(_watch(running, cookies, 12, reads=True, act=lambda: changed.append(_write(running))))
    told, shown = (sorted(at - changed[0] for at in times) for times in (again.told_at, again.shown_at))
    if len(shown) < DASHBOARDS:
        print(f"  only {len(shown)} of {DASHBOARDS} dashboards showed the change")
        return False
    print(
        f"  one record written: known to the last dashboard after {told[DASHBOARDS - 1]:.1f} s; shown on half of them "
        f"after {shown[DASHBOARDS // 2]:.1f} s, on all after {shown[DASHBOARDS - 1]:.1f} s  errors {again.errors}",
        flush=True,
    )
    is_in_time = told[DASHBOARDS - 1] <= LATE_SECONDS_MAX
    return cores <= CORES_MAX and is_in_time and seen.errors + again.errors == 0


async def _watch(
    running: Clinic, cookies: list[str], seconds: float, *, reads: bool = False, act: Callable[[], object] | None = None
) -> Seen:
    """All dashboards for ``seconds``, their questions spread over the second; ``act`` happens in the middle."""
    parts = urlsplit(running.url)
    seen, until = Seen(), time.monotonic() + seconds
    tasks = [
        asyncio.create_task(
            Dashboard((str(parts.hostname), int(parts.port or 80)), cookie, seen).watch(
                number / len(cookies), until, reads=reads
            )
        )
        for number, cookie in enumerate(cookies)
    ]
    if act is not None:
        await asyncio.sleep(seconds / 3)
        await asyncio.to_thread(act)
    await asyncio.gather(*tasks)
    return seen


def _sign_in(running: Clinic) -> list[str]:
    """Sessions of as many new people as there are dashboards."""
    cookies = [secrets.token_urlsafe(32) for _ in range(DASHBOARDS)]
    with psycopg.connect(running.superuser_url, autocommit=True) as connection:
        for number, cookie in enumerate(cookies):
            connection.execute(
                SIGN_IN,
                {
                    "user": _id(), "session": _id(), "role": ROLES[number % len(ROLES)],
                    "email": f"painel.{number}.{secrets.token_hex(4)}@example.org",
                    "hash": hashlib.sha256(cookie.encode()).digest(),
                },
            )  # fmt: skip
    return cookies


def _id() -> str:
    return f"01900000-0000-7000-8000-{secrets.token_hex(6)}"


def _write(running: Clinic) -> float:
    """Write one record as the demo doctor; when it was committed."""
    headers = {"Authorization": f"Bearer {running.tokens['doctor']}", "Content-Type": "application/json"}
    listing = urllib.request.Request(f"{running.url}/api/medical-records?limit=1", headers=headers)
    with urllib.request.urlopen(listing, timeout=10) as answer:
        patient = json.load(answer)["data"][0]["patientId"]
    body = json.dumps({"patientId": patient, "title": "Consulta"}).encode()
    request = urllib.request.Request(f"{running.url}/api/medical-records", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=10):
        return time.monotonic()


def main() -> int:
    with clinic(patients=1_000, records=10_000, app="bench.app:app") as running:
        return 0 if measure(running) else 1


if __name__ == "__main__":
    sys.exit(main())
