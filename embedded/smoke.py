"""``sigilo smoke URL``: whether a deployment serves what it should, asked from outside as browsers and proxies do.

It needs no settings and changes nothing but, given a sign-in, one session, which it ends. Each check is a line; what
is wrong is said in words that say what to do.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx

from config import PRODUCT_NAME, PRODUCT_VERSION

TIMEOUT_SECONDS = 10.0
SHORTEST_CERTIFICATE = timedelta(days=14)
HSTS_SECONDS = 15_552_000
LOCAL = ("localhost", "127.0.0.1", "::1")
STATIC = re.compile(r'(?:href|src)="(/static/[^"]+\.(?:css|js))"')
CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
# What every answer carries, with what its value has to say.
HEADERS = {
    "content-security-policy": "default-src 'none'", "x-frame-options": "DENY", "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin", "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin", "cross-origin-embedder-policy": "require-corp",
    "permissions-policy": "camera=()",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing that was tried: what was found, or what to do about it."""

    name: str
    is_well: bool
    text: str


class SmokeError(Exception):
    """What is wrong, and what to do."""


def trusting(authority: str) -> ssl.SSLContext:
    """What trusts the public authorities, and the certificates in PEM in ``authority``. Raises ssl.SSLError."""
    context = ssl.create_default_context()
    if authority:
        context.load_verify_locations(cadata=authority)
        # The certificate itself will do, where whoever signed it is not among them.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


class Smoke:
    """The checks of one address."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        email: str = "",
        password: str = "",
        version: str = "",
        authority: str = "",
    ) -> None:
        """``token`` and, or, ``email`` with ``password`` are of a user of the demo or made for this; ``version`` is the
        one that should be there, this program's where none is given; ``authority``: certificates in PEM that are
        trusted besides the public authorities'. Raises ssl.SSLError when they are none."""
        self._url = url.rstrip("/")
        self._token, self._email, self._password = token, email, password
        self._version = version or PRODUCT_VERSION
        self._trust = trusting(authority)
        # Like other requests of ours: to this address alone, by no proxy that the environment names.
        self._client = httpx.Client(
            base_url=self._url, timeout=TIMEOUT_SECONDS, trust_env=False, verify=self._trust,
            headers={"Accept": "text/html", "User-Agent": f"{PRODUCT_NAME}-smoke/{PRODUCT_VERSION}"},
        )  # fmt: skip

    def run(self) -> Iterator[Outcome]:
        """One check after the other; all are made, whatever the others found, unless nobody answers."""
        first = self._try("Process", self._lives)
        yield first
        if not first.is_well:
            return
        yield self._try("Readiness", self._is_ready)
        yield self._try("Health", self._health)
        yield self._try("Version", self._is_of_the_version)
        yield self._try("TLS", self._tls)
        yield self._try("Headers", self._headers)
        yield self._try("Sign-in page", self._login_page)
        yield self._try("Static files", self._static_files)
        yield self._try("Strangers", self._strangers)
        if self._token:
            yield self._try("Token", self._by_token)
        if self._email:
            yield self._try("Sign-in", self._sign_in)

    def _try(self, name: str, check: Callable[[], str]) -> Outcome:
        try:
            return Outcome(name, True, check())
        except SmokeError as error:
            return Outcome(name, False, str(error))
        except httpx.ConnectError as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            return Outcome(name, False, f"nobody answers at {self._url} ({reason})")
        except (httpx.HTTPError, OSError) as error:
            return Outcome(name, False, f"no whole answer ({type(error).__name__})")
        except (ValueError, KeyError, TypeError):
            return Outcome(name, False, "something else than Sigilo answers: is the address right?")

    def _get(self, path: str, *statuses: int, **options: dict[str, str]) -> httpx.Response:
        answer = self._client.get(path, **options)  # type: ignore[arg-type]
        if answer.status_code not in (statuses or (200,)):
            raise SmokeError(f"{path} answers {answer.status_code}")
        return answer

    def _lives(self) -> str:
        began = time.perf_counter()
        self._get("/livez")
        return f"answers in {(time.perf_counter() - began) * 1000:.0f} ms"

    def _is_ready(self) -> str:
        answer = self._get("/readyz", 200, 503).json()
        if answer["status"] not in ("ok", "degraded"):
            parts = answer.get("dependencies", {}).items()
            notes = [f"{name}: {each.get('note', each['status'])}" for name, each in parts if each["status"] != "ok"]
            raise SmokeError(f"{answer['status']}: {'; '.join(notes) or 'it is about to end'}")
        return str(answer["status"])

    def _health(self) -> str:
        parts = self._get("/api/health", 200, 503).json()["dependencies"]
        down = [f"{name}: {each.get('note', 'down')}" for name, each in parts.items() if each["status"] == "down"]
        if down:
            raise SmokeError("; ".join(down))
        late = [name for name, each in parts.items() if each["status"] == "degraded"]
        return f"{len(parts)} parts work" + (f", but look into {', '.join(late)}" if late else "")

    def _is_of_the_version(self) -> str:
        said = self._get("/api/health", 200, 503).json()
        if (said["product"], said["version"]) != (PRODUCT_NAME, self._version):
            wanted = f"{PRODUCT_NAME} {self._version}"
            raise SmokeError(f"{said['product']} {said['version']} answers, not {wanted}: was the release switched?")
        return str(said["version"])

    def _tls(self) -> str:
        """The certificate, as whoever connects checks it, and how long it holds."""
        parts = urlsplit(self._url)
        if parts.scheme != "https":
            if parts.hostname not in LOCAL:
                raise SmokeError("the address is http: records and passwords would pass in the clear")
            return "none, on this machine"
        with (
            socket.create_connection((parts.hostname or "", parts.port or 443), TIMEOUT_SECONDS) as plain,
            self._trust.wrap_socket(plain, server_hostname=parts.hostname) as wrapped,
        ):
            certificate, version = wrapped.getpeercert() or {}, wrapped.version()
        since, until = (
            datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate[each])), UTC)
            for each in ("notBefore", "notAfter")
        )
        left = until - datetime.now(UTC)
        # Some are made for days or hours, and renewed when a third of that is left.
        if left < min(SHORTEST_CERTIFICATE, (until - since) / 5):
            raise SmokeError(f"the certificate ends in {left.days} days, on {until:%Y-%m-%d %H:%M}: renew it")
        return f"{version}, certificate until {until:%Y-%m-%d %H:%M}"

    def _headers(self) -> str:
        answers = [self._get("/login"), self._get("/api/nowhere", 404), self._get("/livez")]
        wanted = dict(HEADERS)
        if self._url.startswith("https:"):
            wanted["strict-transport-security"] = f"max-age={HSTS_SECONDS}"
        for answer in answers:
            for name, part in wanted.items():
                if part not in answer.headers.get(name, ""):
                    raise SmokeError(f"{answer.url.path} lacks {name} with {part}: does a proxy take it away?")
            if "unsafe-" in answer.headers["content-security-policy"]:
                raise SmokeError(f"{answer.url.path} allows unsafe scripts or styles")
        return f"{len(wanted)} on pages, problems and probes"

    def _login_page(self) -> str:
        self._client.cookies.clear()  # a browser that was never here
        page = self._get("/login")
        if CSRF.search(page.text) is None or 'name="password"' not in page.text:
            raise SmokeError("/login is no sign-in form")
        if page.headers.get("cache-control") != "no-store":
            raise SmokeError("/login may be cached: does a proxy add Cache-Control?")
        if self._url.startswith("https:"):
            for cookie in page.headers.get_list("set-cookie"):
                if not (cookie.startswith("__Host-") and "Secure" in cookie and "HttpOnly" in cookie):
                    raise SmokeError("a cookie is not __Host-, Secure and HttpOnly: is SIGILO_ENV production?")
        return "a form with a token, not cached"

    def _static_files(self) -> str:
        """Everything that the sign-in page loads is there, and kept for ever: its name changes with its content."""
        paths = sorted(set(STATIC.findall(self._get("/login").text)))
        if not paths:
            raise SmokeError("/login names no style sheet")
        for path in paths:
            answer = self._get(path)
            if "immutable" not in answer.headers.get("cache-control", ""):
                raise SmokeError(f"{path} is not immutable: does a proxy change Cache-Control?")
            if not answer.content:
                raise SmokeError(f"{path} is empty")
        return f"{len(paths)} of the sign-in page, each immutable"

    def _strangers(self) -> str:
        """Nobody gets anything without saying who they are, or with what is no token."""
        for headers in ({}, {"Authorization": f"Bearer sgl_{'0' * 43}"}):
            self._get("/api/patients", 401, headers={"Accept": "application/json", **headers})
        answer = self._get("/metrics", 200, 403)
        if answer.status_code == 200 and urlsplit(self._url).hostname not in LOCAL:
            raise SmokeError("/metrics is open from here: look at METRICS_NETWORKS and TRUSTED_PROXIES")
        return "refused with 401"

    def _by_token(self) -> str:
        self._get("/api/me", headers={"Accept": "application/json", "Authorization": f"Bearer {self._token}"})
        return "tells who it is of"

    def _sign_in(self) -> str:
        """Through the form, as a person; the session is ended again."""
        found = CSRF.search(self._get("/login").text)
        form = {"email": self._email, "password": self._password, "csrf_token": found[1] if found else ""}
        same_origin = {"Sec-Fetch-Site": "same-origin", "Origin": self._url}
        answer = self._client.post("/login", data=form, headers=same_origin)
        if answer.status_code != 303:
            raise SmokeError(f"signing in answers {answer.status_code}: are e-mail and password right?")
        started = self._get("/", 200, 303)
        token = CSRF.search(started.text)
        ended = self._client.post("/logout", data={"csrf_token": token[1] if token else ""}, headers=same_origin)
        if self._client.get("/api/me", headers={"Accept": "application/json"}).status_code != 401:
            raise SmokeError(f"the session goes on after signing out ({ended.status_code})")
        return "in and out again"


def examine_deployment(url: str, **given: str) -> Iterator[Outcome]:
    """Every check of the installation at ``url``: see ``Smoke``."""
    return Smoke(url, **given).run()
