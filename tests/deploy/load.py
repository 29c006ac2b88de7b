"""People at work over HTTPS, who forgive nothing: every request that is not answered as it should be is kept.

Each person is a thread with one connection that stays open, as a browser's does, and tries nothing a second time.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
TIMEOUT_SECONDS = 30.0
PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
JSON = {"Accept": "application/json", "Content-Type": "application/json"}


class Unexpected(Exception):
    """What was asked, and what came."""


class Client:
    """One connection, opened once, and the cookies of one browser."""

    def __init__(self, port: int, trust: ssl.SSLContext | None) -> None:
        if trust is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        else:
            self._connection = http.client.HTTPSConnection("localhost", port, timeout=TIMEOUT_SECONDS, context=trust)
        self._cookies: dict[str, str] = {}
        self.request_id = ""

    def send(self, method: str, path: str, wanted: int, headers: dict[str, str], body: str | None = None) -> str:
        """The answer's body. Raises Unexpected unless it came and its status is ``wanted``."""
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        try:
            self._connection.request(method, path, body, {**headers, **(cookies if self._cookies else {})})
            answer = self._connection.getresponse()
            content = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unexpected(f"{method} {path}: {type(error).__name__} {error}") from error
        self.request_id = answer.headers.get("X-Request-Id", "")
        for each in answer.headers.get_all("Set-Cookie", []):
            name, _, value = each.partition(";")[0].partition("=")
            self._cookies[name] = value
        if answer.status != wanted:
            raise Unexpected(f"{method} {path}: {answer.status} {content[:200]}")
        return content

    def page(self, path: str, wanted: int = 200) -> str:
        return self.send("GET", path, wanted, PAGE)

    def submit(self, path: str, form: dict[str, str], wanted: int = 303) -> str:
        headers = {**PAGE, "Content-Type": "application/x-www-form-urlencoded"}
        return self.send("POST", path, wanted, headers, urlencode(form))

    def close(self) -> None:
        self._connection.close()


@dataclass
class Load:
    """``token``: of a doctor who may read and write for ``patient``; ``email``, ``password``: of one who signs in."""

    port: int
    trust: ssl.SSLContext | None
    token: str
    patient: str
    email: str = ""
    password: str = ""
    pause: float = 0.02
    failures: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    written: dict[str, str] = field(default_factory=dict)  # title → id of each record that was answered for
    answered: list[str] = field(default_factory=list)  # ids of the requests that wrote them
    slowest: float = 0.0
    _ending: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        jobs: list[Callable[[Client, int], None]] = [self._read, self._read, self._write, self._write]
        if self.email:
            jobs += [self._browse, self._sign_in_and_out]
        self._threads = [threading.Thread(target=self._work, args=[job, number]) for number, job in enumerate(jobs)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_SECONDS)

    def _work(self, job: Callable[[Client, int], None], number: int) -> None:
        client = Client(self.port, self.trust)
        name, turn = job.__name__.strip("_"), 0
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                job(client, turn * 100 + number)
                self.counts[name] += 1
            except Unexpected as error:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {error}")
            self.slowest = max(self.slowest, time.monotonic() - began)
            turn += 1
            self._ending.wait(self.pause)
        client.close()

    def _headers(self) -> dict[str, str]:
        return {**JSON, "Authorization": f"Bearer {self.token}"}

    def _read(self, client: Client, _: int) -> None:
        found = json.loads(client.send("GET", "/api/medical-records?limit=3", 200, self._headers()))
        if "data" not in found:
            raise Unexpected("no list")

    def _write(self, client: Client, number: int) -> None:
        title = f"Consulta {number}"
        body: dict[str, Any] = {"patientId": self.patient, "title": title}
        made = json.loads(client.send("POST", "/api/medical-records", 201, self._headers(), json.dumps(body)))
        self.written[title] = made["id"]
        self.answered.append(client.request_id)

    def _browse(self, client: Client, number: int) -> None:
        """One session for all of it."""
        if number < 100:
            self._sign_in(client)
        client.page("/")
        client.page("/medical-records")

    def _sign_in_and_out(self, client: Client, _: int) -> None:
        self._sign_in(client)
        token = CSRF.search(client.page("/"))
        client.submit("/logout", {"csrf_token": token[1] if token else ""})

    def _sign_in(self, client: Client) -> None:
        token = CSRF.search(client.page("/login"))
        form = {"email": self.email, "password": self.password, "csrf_token": token[1] if token else ""}
        client.submit("/login", form)
