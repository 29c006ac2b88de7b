"""A browser without its window: cookies, pages and what they load, forms as htmx sends them, and the question that an
open page asks every second."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx

from load.ledger import Asked, Ledger

TIMEOUT_SECONDS = 30.0
ASKS_EVERY_SECONDS = 1.0  # static/js/live.js
CONNECTIONS = 6  # as many as browsers open to one host
CSRF = re.compile(r'(?:X-CSRFToken": "|name="csrf_token" value=")([^"]+)"')
TOKEN = re.compile(r'data-token="([^"]*)"')
PATIENT = re.compile(r'data-patient="([0-9a-f-]{36})"')
STATIC = re.compile(r'(?:href|src)="(/static/[^"]+)"')
# Pages that fetch a part of themselves anew when something changed, and the element that it replaces.
REFRESHED = {"/": "div#day", "/medical-records": "section#records"}


class Unexpected(Exception):
    """An answer that nobody should get. It stands in the ledger already."""


class Caller:
    """Whoever asks over HTTP: keeps connections, and notes every answer."""

    def __init__(
        self, url: str, role: str, ledger: Ledger, context: ssl.SSLContext, headers: Mapping[str, str]
    ) -> None:
        self.role = role
        self._ledger = ledger
        # Not in the client's own jar, which keeps what is Secure to itself: the way from a proxy that ends TLS to the
        # server is plain.
        self._cookies: dict[str, str] = {}
        self._client = httpx.AsyncClient(
            base_url=url, headers=dict(headers), timeout=TIMEOUT_SECONDS, trust_env=False, verify=context,
            limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=60.0),
        )  # fmt: skip

    async def ask(
        self,
        kind: str,
        method: str,
        path: str,
        *,
        act: str | None = None,
        status: int = 200,
        says: str = "",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """Raises Unexpected unless ``status`` is answered, and ``says`` stands in the body. ``act``: see ``Asked``."""
        request_id = uuid.uuid4().hex  # a proxy's word, which is believed
        sent = {**(headers or {}), "X-Request-Id": request_id}
        if self._cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        started = time.perf_counter()
        try:
            answer = await self._client.request(method, path, headers=sent, **options)
        except httpx.HTTPError as error:
            self._note(kind, started, act, request_id, problem=type(error).__name__)
            raise Unexpected(kind) from error
        for cookie in answer.headers.get_list("Set-Cookie"):
            name, _, rest = cookie.partition("=")
            self._cookies[name] = rest.partition(";")[0]
        self._client.cookies.clear()
        problem = None
        if answer.status_code != status:
            problem = f"answers {answer.status_code}"
        elif answer.headers.get("X-Request-Id") != request_id and not path.startswith("/static/"):
            problem = "is of another request"
        elif says and says not in answer.text:
            problem = "is not what was asked for"
        self._note(kind, started, act, request_id, answer.status_code, problem)
        if problem is not None:
            raise Unexpected(kind)
        return answer

    def _note(
        self, kind: str, started: float, act: str | None, request_id: str, status: int = 0, problem: str | None = None
    ) -> None:  # fmt: skip
        ms = (time.perf_counter() - started) * 1000
        self._ledger.note(Asked(kind, self.role, status, ms, request_id, act, problem))

    async def close(self) -> None:
        await self._client.aclose()


class Browser(Caller):
    """One person's, with one tab."""

    def __init__(self, url: str, address: str, role: str, ledger: Ledger, context: ssl.SSLContext) -> None:
        """``address``: where they sit, as the proxy tells."""
        headers = {
            "Accept": "text/html", "Accept-Encoding": "gzip", "Sec-Fetch-Site": "same-origin",
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0", "X-Forwarded-For": address,
        }  # fmt: skip
        super().__init__(url, role, ledger, context, headers)
        self._files: set[str] = set()
        self._csrf = ""
        self._path = ""
        self._token: str | None = None
        self._patient: str | None = None

    async def sign_in(self, email: str, password: str) -> None:
        await self.page("sign-in page", "/login", says='name="password"')
        form = {"email": email, "password": password, "csrf_token": self._csrf}
        await self.ask("sign in", "POST", "/login", act="session.login", status=303, data=form)

    async def page(self, kind: str, path: str, *, act: str | None = None, says: str = "") -> str:
        """Go to a page: its text, with everything it loads that is not here yet."""
        self._token = None  # the page before is gone, and with it what it asked
        answer = await self.ask(kind, "GET", path, act=act, says=says)
        text = answer.text
        found = CSRF.search(text)
        self._csrf = found[1] if found else self._csrf
        new = [name for name in dict.fromkeys(STATIC.findall(text)) if name not in self._files]
        self._files.update(new)
        await asyncio.gather(*(self.ask("static file", "GET", name) for name in new))
        patient, token = PATIENT.search(text), TOKEN.search(text)
        self._path, self._patient = path, patient[1] if patient else None
        self._token = token[1] if token else None
        return text

    async def send(
        self, kind: str, path: str, form: Mapping[str, str], *, act: str | None = None, status: int = 204,
        into: str = "main#main", says: str = "",
    ) -> httpx.Response:  # fmt: skip
        """Send a form as htmx does, which puts the answer ``into`` an element, or is led elsewhere (204)."""
        headers = {"HX-Request": "true", "HX-Target": into, "X-CSRFToken": self._csrf}
        return await self.ask(kind, "POST", path, act=act, status=status, says=says, data=dict(form), headers=headers)

    async def watch(self, ended: asyncio.Event) -> None:
        """What the open page does by itself, until ``ended``."""
        while not ended.is_set():
            await asyncio.sleep(ASKS_EVERY_SECONDS)
            with suppress(Unexpected):
                await self.look_for_news()

    async def look_for_news(self) -> None:
        """Ask once whether anything changed, and fetch anew what the page shows of it."""
        before = self._token
        if before is None:
            return
        about = {} if self._patient is None else {"patientId": self._patient}
        background = {"Accept": "application/json", "Sigilo-Background": "1"}
        answer = await self.ask("live: anything new?", "GET", "/live", params=about, headers=background)
        if self._token != before:
            return  # another page by now
        self._token = answer.json()["token"]
        if self._token != before and self._path in REFRESHED:
            part = {"HX-Request": "true", "HX-Target": REFRESHED[self._path]}
            await self.ask(f"live: {self._path} anew", "GET", self._path, headers=part)
