"""``sigilo smoke URL`` over a real server, in the clear and behind a proxy with TLS that spoils one thing at a time."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from config import PRODUCT_VERSION, Settings
from models import Role
from models.engine import Databases
from services.password import hash_password
from tests.factories.cast import Cast, make_person
from tests.factories.certificate import make_certificate
from tests.http_server import serving
from tests.installation import free_port
from tests.web.live_server import LiveServer, live_server

PASSWORD = "lampião quieto verde sertão"


@pytest.fixture(scope="module")
def web(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Of production, but for its secrets: no worker and no scheduler runs."""
    folder, plenty = tmp_path_factory.mktemp("smoke"), "1000000/minute"
    with live_server(
        settings, folder, workers=1, TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT_ANONYMOUS=plenty
    ) as server:
        yield server


class Middle(ThreadingHTTPServer):
    """Hands each request on to ``port``, and leaves ``without`` out of the answer's headers."""

    daemon_threads = True

    def __init__(self, port: int, without: str = "", cached: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.without, self.cached = port, without, cached


class _Handler(BaseHTTPRequestHandler):
    server: Middle

    def do_GET(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=20)
        connection.request("GET", self.path, headers=dict(self.headers))
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in (self.server.without, "transfer-encoding", "connection"):
                changed = name.lower() == "cache-control" and self.server.cached
                self.send_header(name, "public, max-age=60" if changed else value)
        self.end_headers()
        self.wfile.write(body)
        connection.close()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def middle(
    web: LiveServer, certificate: Path | None = None, *, without: str = "", cached: bool = False
) -> Iterator[str]:
    made = Middle(web.port, without, cached)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        made.socket, scheme = context.wrap_socket(made.socket, server_side=True), "https"
    with serving(made, threading.Event()) as server:
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}"


def smoke(*arguments: str, given: str = "") -> tuple[int, dict[str, str]]:
    """Exit code, and what is said of each check; what failed begins with FAIL. ``given`` is its standard input."""
    result = CliRunner().invoke(cli.main, ["smoke", *arguments], input=given)
    lines = [line.split(": ", 1) for line in result.output.splitlines() if line[:4] in ("pass", "FAIL")]
    return result.exit_code, {head[6:]: f"{head[:4]} {text}" for head, text in lines}


def failing(said: dict[str, str]) -> set[str]:
    return {name for name, text in said.items() if text.startswith("FAIL")}


@pytest.fixture
def token_file(cast: Cast, tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.write_text(f"{cast.doctor.token}\n")
    return str(file)


def test_all_but_the_workers_pass_and_a_person_signs_in_and_out(
    web: LiveServer, databases: Databases, tmp_path: Path, token_file: str
) -> None:
    person = make_person(databases, Role.NURSE, "Rita Fumaça", password_hash=hash_password(PASSWORD))
    file = tmp_path / "logins.json"
    file.write_text(json.dumps({"nurse": {"email": person.email, "password": PASSWORD}}))
    given = ["--token-file", token_file, "--credentials", str(file), "--as", "nurse"]
    code, said = smoke(web.url, *given)
    assert code == 1
    assert failing(said) == {"Health"}, said
    assert "no scheduler runs" in said["Health"] and "no worker serves" in said["Health"]
    assert said["Version"] == f"pass {PRODUCT_VERSION}"
    assert said["Sign-in"] == "pass in and out again"
    file.write_text(json.dumps({"nurse": {"email": person.email, "password": "another"}}))
    assert "Sign-in" in failing(smoke(web.url, *given)[1])


def test_another_version_a_wrong_token_and_a_closed_door_fail(web: LiveServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"sgl_{'a' * 43}")
    _, said = smoke(f"{web.url}/", "--expect", "0.9.9", "--token-file", str(file))
    assert failing(said) == {"Health", "Version", "Token"}
    assert "was the release switched?" in said["Version"]
    code, said = smoke(f"http://127.0.0.1:{free_port()}")
    assert (code, failing(said), len(said)) == (1, {"Process"}, 1)


class _Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<h1>It works!</h1>")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_what_is_no_sigilo_passes_for_none() -> None:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere), threading.Event()) as server:
        code, said = smoke(f"http://127.0.0.1:{server.server_address[1]}")
    assert code == 1
    assert set(said) - failing(said) == {"Process", "TLS"}
    assert "is the address right?" in said["Readiness"]


@pytest.mark.parametrize(
    ("spoilt", "found"),
    [
        ({"without": "content-security-policy"}, {"Headers"}), ({"without": "x-frame-options"}, {"Headers"}),
        ({"cached": True}, {"Sign-in page", "Static files"}),
    ],
)  # fmt: skip
def test_what_a_proxy_spoils_is_found(web: LiveServer, spoilt: dict[str, object], found: set[str]) -> None:
    with middle(web, **spoilt) as url:  # type: ignore[arg-type]
        _, said = smoke(url)
    assert failing(said) == {"Health", *found}
    assert "proxy" in said[min(found)]


@pytest.mark.parametrize(
    ("days", "since_days", "is_renewed"),
    # Of three months, of a week, and of half a day as Caddy's own authority makes them.
    [(90, 1, True), (13, 77, False), (3, 4, True), (1, 6, False), (0.2, 0.3, True), (0.05, 0.45, False)],
)
def test_certificates_are_looked_at(
    web: LiveServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    days: float,
    since_days: float,
    is_renewed: bool,
) -> None:
    """Of whom the machine trusts, and how long; over TLS, an installation that is not of production is told apart."""
    key, certificate = make_certificate(days, since_days)
    (tmp_path / "server.pem").write_text(key + certificate)
    (tmp_path / "trusted.pem").write_text(certificate)
    with middle(web, tmp_path / "server.pem") as url:
        _, said = smoke(url)
        assert failing(said) == {"Process"} and "certificate" in said["Process"].lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
        _, said = smoke(url)
    assert ("TLS" not in failing(said)) is is_renewed
    assert {"Headers", "Sign-in page"} <= failing(said)
    assert "strict-transport-security" in said["Headers"]
    assert "SIGILO_ENV" in said["Sign-in page"]


def test_a_certificate_that_no_public_authority_gave_is_known_by_what_is_handed_over(
    web: LiveServer, tmp_path: Path
) -> None:
    """By the authority's, or by itself, as deploy/switch hands them over."""
    key, certificate = make_certificate(90)
    (tmp_path / "server.pem").write_text(key + certificate)
    (tmp_path / "other.pem").write_text(make_certificate(90)[1])
    with middle(web, tmp_path / "server.pem") as url:
        _, said = smoke(url, "--authority", "-", given=certificate)
        assert not {"Process", "TLS"} & failing(said)
        _, said = smoke(url, "--authority", str(tmp_path / "other.pem"))
        assert failing(said) == {"Process"}
    for command in (["smoke", "https://127.0.0.1"], ["preflight"]):
        for given in ("none", ""):
            result = CliRunner().invoke(cli.main, [*command, "--authority", "-"], input=given)
            assert (result.exit_code, "no certificate in PEM" in result.output) == (2, True)
