"""What pages weigh and how long the server takes for each, as the roles that use them, at the clinic's full size."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import statistics
import time
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from bench.clinic import Clinic

REQUESTS = 60  # of each page, one after another: what one person waits, not what the machine can bear
SERVER_MS_MAX = 60.0  # p95
FIRST_BYTES_MAX, LATER_BYTES_MAX = 100_000, 25_000  # compressed, with everything the page loads; without
STATIC = re.compile(r'(?:href|src)="(/static/[^"]+)"')
TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
RECORD = re.compile(r'href="(/medical-records/[0-9a-f-]{36})"')
PATIENT = re.compile(r'href="(/patients/[0-9a-f-]{36})"')

# Role → pages; {record} and {patient} are the first that its lists show.
PAGES = {
    "doctor": (
        "/", "/medical-records", "{record}", "{record}/versions", "{record}/edit", "/medical-records/new", "/patients",
        "{patient}", "/drafts", "/notifications", "/audit", "/me",
    ),
    "reception": ("/", "/patients", "/patients/new", "{patient}", "/visits/new"),
    "nurse": ("/", "/patients", "/medical-records"),
    "admin": ("/", "/users", "/system", "/rate-limits", "/imports"),
    "auditor": ("/", "/audit", "/emergency-accesses"),
    "patient": ("/me",),
}  # fmt: skip


@dataclass(frozen=True)
class Weight:
    p50_ms: float
    p95_ms: float
    first_bytes: int
    later_bytes: int


class Visitor:
    """A browser's connection and cookies, without the browser."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        self._cookies: dict[str, str] = {}

    def send(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, int, str]:
        """(status, bytes on the line, text)."""
        headers = {"Accept": "text/html", "Accept-Encoding": "gzip", "Sec-Fetch-Site": "same-origin"}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, path, urlencode(form) if form is not None else None, headers)
        answer = self._connection.getresponse()
        body = answer.read()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self._cookies[key] = rest.partition(";")[0]
        text = gzip.decompress(body) if answer.getheader("Content-Encoding") == "gzip" else body
        return answer.status, len(body), text.decode(errors="replace")

    def sign_in(self, login: dict[str, str]) -> None:
        token = TOKEN.search(self.send("GET", "/login")[2])
        assert token is not None
        status = self.send("POST", "/login", {**login, "csrf_token": token[1]})[0]
        if status != 303:
            raise RuntimeError(f"{login['email']} could not sign in: {status}")


def weigh(visitor: Visitor, path: str) -> Weight:
    times, later, text = [], 0, ""
    for _ in range(REQUESTS):
        started = time.perf_counter()
        status, later, text = visitor.send("GET", path)
        times.append((time.perf_counter() - started) * 1000)
        if status != 200:
            raise RuntimeError(f"{path} answers {status}")
    files = sum(visitor.send("GET", name)[1] for name in dict.fromkeys(STATIC.findall(text)))
    return Weight(statistics.median(times), sorted(times)[int(0.95 * REQUESTS)], later + files, later)


def measure(running: Clinic) -> bool:
    """Print every page's figures; gives whether all are within bounds."""
    logins = json.loads((running.home / "demo-credentials.json").read_text())
    within = True
    print(f"{'page':52} {'p50 ms':>7} {'p95 ms':>7} {'first kB':>9} {'later kB':>9}")
    for role, paths in PAGES.items():
        visitor = Visitor(running.url)
        visitor.sign_in(logins[role])
        found: dict[str, str] = {}
        for name, pattern, place in (("record", RECORD, "/medical-records"), ("patient", PATIENT, "/patients")):
            if any(f"{{{name}}}" in path for path in paths):
                first = pattern.search(visitor.send("GET", place)[2])
                assert first is not None, f"{place} shows {role} nothing"
                found[name] = first[1]
        for path in paths:
            weight = weigh(visitor, path.format(**found))
            good = (
                weight.p95_ms <= SERVER_MS_MAX
                and weight.first_bytes <= FIRST_BYTES_MAX
                and weight.later_bytes <= LATER_BYTES_MAX
            )
            within &= good
            print(
                f"{role + ' ' + path:52} {weight.p50_ms:7.1f} {weight.p95_ms:7.1f} {weight.first_bytes / 1000:9.1f} "
                f"{weight.later_bytes / 1000:9.1f}{'' if good else '  beyond the bounds'}",
                flush=True,
            )
    return within
