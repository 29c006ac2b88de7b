"""The real proxy before real web servers: what it lets through, hides, logs and answers itself; and one switch under
load (`make blue-green` does all of them). The tests stand in the order in which the clinic lives through them.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from config import Principal, Settings
from embedded.process import wait_until
from integrations.broker import QUEUES
from models.advisory_locks import SCHEDULER
from models.engine import Databases
from tests.deploy.clinic import Clinic, clinic_at
from tests.deploy.hooks import pid_of
from tests.deploy.load import Load
from tests.deploy.proxy import CONFIG, Proxy, caddy
from tests.factories.cast import Cast
from tests.http_server import serving
from tests.installation import free_port
from web.headers import HSTS_SECONDS, STRICT
from web.static_files import static_url


@pytest.fixture(scope="module")
def background(settings: Settings) -> Iterator[None]:
    """As if workers and a scheduler ran, for `sigilo smoke`, which each switch asks."""
    with redis.Redis.from_url(settings.redis_url.get_secret_value()) as client:
        for queue in QUEUES:
            client.set(f"sigilo:serves:{queue}", 1, ex=600)
        with psycopg.connect(settings.url_for(Principal.WORKER), autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (SCHEDULER,))
            connection.execute("DELETE FROM audit_outbox")
            yield
        client.delete(*(f"sigilo:serves:{queue}" for queue in QUEUES))


@pytest.fixture(scope="module")
def clinic(settings: Settings, background: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with clinic_at(tmp_path_factory.mktemp("colours"), settings, drain=1.0, watch=0.5) as made:
        yield made


@pytest.fixture(scope="module")
def outside(clinic: Clinic) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=clinic.proxy.url, verify=clinic.proxy.trust(), trust_env=False, timeout=30) as client:
        yield client


def test_debians_caddy_takes_the_files_and_finds_them_formatted() -> None:
    for file in [CONFIG, *CONFIG.parent.glob("*.caddy")]:
        formatted = subprocess.run([caddy(), "fmt", file], capture_output=True, text=True, check=False).stdout
        assert formatted == file.read_text(), file.name


def test_http_leads_to_https_and_old_tls_is_refused(clinic: Clinic) -> None:
    answer = httpx.get(f"http://localhost:{clinic.proxy.http}/login", trust_env=False)
    # SIGILO_HTTPS_PORT is one that 443 leads to, wherever it is another one.
    assert (answer.status_code, answer.headers["Location"]) == (308, "https://localhost/login")
    old = clinic.proxy.trust()
    with pytest.deprecated_call():
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("localhost", clinic.proxy.https)) as plain,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        old.wrap_socket(plain, server_hostname="localhost")


def test_every_answer_is_strict_and_says_each_thing_once(outside: httpx.Client) -> None:
    """Whoever it is from: the application, the disk, or the proxy itself."""
    for path, status in (("/login", 200), ("/api/me", 401), (static_url("css/base.css"), 200), ("/metrics", 403)):
        answer = outside.get(path)
        assert answer.status_code == status, path
        for name, value in (*STRICT, ("Strict-Transport-Security", f"max-age={HSTS_SECONDS}; includeSubDomains")):
            assert answer.headers.get_list(name) == [value], (path, name)
        assert "Via" not in answer.headers


def test_static_files_come_from_the_disk_whole_and_packed_those_of_a_former_release_too(
    clinic: Clinic, outside: httpx.Client
) -> None:
    name = static_url("css/base.css")
    former = clinic.proxy.static / "static" / "0123456789ab" / "css" / "base.css"
    former.parent.mkdir(parents=True)
    former.write_text("body { color: #111 }")
    for path in (name, "/static/0123456789ab/css/base.css"):
        answer = outside.get(path)
        assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (200, "text/css")
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert outside.get(name).headers["Content-Encoding"] == "gzip"
    assert outside.get(name).text == outside.get(name, headers={"Accept-Encoding": "identity"}).text
    (clinic.proxy.static / "static" / name.split("/")[2] / "css" / "base.css").unlink()
    assert outside.get(name).status_code == 200, "what is not there is asked of the application"
    assert outside.get("/static/0123456789ab/").status_code == 404, "no lists"
    assert outside.get("/static/0123456789ab/../../../state/blue").status_code == 404


def test_what_is_too_large_is_refused_and_uploads_may_be_larger(
    clinic: Clinic, outside: httpx.Client, cast: Cast
) -> None:
    headers = {**cast.doctor.headers, "Content-Type": "application/json"}
    refused = outside.post("/api/medical-records", content=b" " * (1024 * 1024 + 1), headers=headers)
    assert (refused.status_code, refused.headers["Content-Type"]) == (413, "application/problem+json")
    assert refused.json()["requestId"], "by the application itself"
    for path, size in (("/api/medical-records", 3_000_000), ("/patients", 3_000_000), ("/api/imports", 37_000_000)):
        with httpx.Client(verify=clinic.proxy.trust(), trust_env=False) as other:
            by_proxy = other.post(f"{clinic.proxy.url}{path}", content=b" " * size, headers=headers)
        assert by_proxy.status_code == 413, path
        assert "requestId" not in by_proxy.text
    # Left to the application, which asks who sends it before it has come whole: then the connection may be cut (502).
    upload = outside.post("/api/imports", files={"file": b" " * 30_000_000}, headers=cast.doctor.headers)
    assert upload.status_code in (403, 502)


def test_nobody_says_for_themselves_where_they_come_from(
    clinic: Clinic, outside: httpx.Client, databases: Databases, cast: Cast
) -> None:
    claims = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "X-Request-Id": "chosen-by-a-stranger"}
    answer = outside.get("/api/medical-records?limit=1", headers={**cast.doctor.headers, **claims})
    assert answer.status_code == 200
    assert answer.headers["X-Request-Id"] != claims["X-Request-Id"]
    with databases.autocommit(Principal.MIGRATOR) as connection:
        row = connection.execute(
            "SELECT host(ip) FROM audit_outbox WHERE request_id = %s", (answer.headers["X-Request-Id"],)
        ).fetchone()
    assert row is not None
    assert row[0] in ("127.0.0.1", "::1")


def test_the_log_says_what_happened_and_never_to_whom(clinic: Clinic, outside: httpx.Client, cast: Cast) -> None:
    outside.get(f"/patients/{cast.patient_id}?q=Concei%C3%A7%C3%A3o", headers={**cast.doctor.headers, "Cookie": "a=b"})
    outside.get("/api/me", headers=cast.doctor.headers)

    def lines() -> list[dict[str, object]]:
        found = [json.loads(line) for line in clinic.proxy.log.read_text().splitlines() if line.startswith("{")]
        return [each for each in found if str(each.get("logger", "")).startswith("http.log.access")]

    assert wait_until(lambda: len(lines()) > 5, 5)
    written = clinic.proxy.log.read_text()
    for secret in (str(cast.patient_id), "Concei", cast.doctor.token, "a=b", "uri", "Authorization", "Cookie"):
        assert secret not in written, secret
    assert {"ts", "request", "status", "duration", "size"} <= set(lines()[-1])


def test_metrics_are_told_inside_and_caddys_own_api_to_this_machine_alone(
    clinic: Clinic, outside: httpx.Client
) -> None:
    assert outside.get("/metrics").status_code == 403
    inside = httpx.get(f"{clinic.proxy.inside}/metrics", trust_env=False)
    assert "caddy_http_request_duration_seconds" in inside.text
    assert "caddy_reverse_proxy_upstreams_healthy" in inside.text
    assert httpx.get(f"{clinic.proxy.inside}/config/", trust_env=False).status_code == 404
    assert httpx.get(f"{clinic.proxy.inside}/serving", trust_env=False).text == "blue"


def test_a_switch_under_load_fails_no_request_and_loses_and_doubles_nothing(
    clinic: Clinic, databases: Databases, cast: Cast
) -> None:
    patient, trust = str(cast.patient_id), clinic.proxy.trust()
    with Load(clinic.proxy.https, trust, cast.doctor.token, patient, pause=0.05) as load:
        assert wait_until(lambda: load.counts["write"] > 2, 10)
        code, said = clinic.switch()
        assert code == 0, said
        before = load.counts["write"]
        assert wait_until(lambda: load.counts["write"] > before + 2, 10)
    assert load.failures == []
    assert (clinic.serves, clinic.running()) == (["green"], ["green"])
    with databases.autocommit(Principal.MIGRATOR) as connection:
        rows = connection.execute(
            "SELECT title, count(*) FROM medical_records WHERE title = ANY (%s) GROUP BY title", (list(load.written),)
        ).fetchall()
    assert dict(rows) == dict.fromkeys(load.written, 1)


def test_when_it_is_not_ready_it_says_itself_what_is_the_matter(clinic: Clinic, outside: httpx.Client) -> None:
    """Not the proxy, which would know nothing but that nobody is there."""
    draining = clinic.folder / "home" / "metrics" / str(clinic.ports["green"]) / "draining"
    draining.touch()
    assert wait_until(lambda: outside.get("/readyz").status_code == 503, 5)
    assert outside.get("/readyz").json()["status"] == "draining"
    assert outside.get("/login").status_code == 200
    draining.unlink()


@pytest.mark.parametrize("state", ["blue-then-green", "green-then-blue"])
def test_of_two_of_which_neither_is_ready_the_one_that_is_there_answers(state: str, tmp_path: Path) -> None:
    """The first has ended, and the second has a moment in which it is not ready: what is written is taken anyway."""
    first, second = state.split("-then-")
    with serving(Unready(("127.0.0.1", 0), _Unready), threading.Event()) as server:
        proxy = Proxy(tmp_path, {first: free_port(), second: server.server_address[1]})
        (proxy.state / state).touch()
        proxy.start()
        try:
            with httpx.Client(base_url=proxy.url, verify=proxy.trust(), trust_env=False) as client:
                assert wait_until(lambda: server.asked.count("/readyz") > 1, 10), "the proxy knows that it is not ready"
                # Without a body, which Debian's Caddy can't send a second time (ADR 31); production's can.
                answers = [client.post("/api/visits/1/call") for _ in range(5)]
            assert [answer.status_code for answer in answers] == [201] * 5
            assert server.asked.count("/api/visits/1/call") == 5, "each reached it once"
        finally:
            proxy.stop()


class Unready(ThreadingHTTPServer):
    """Takes what is written, and says that it is not ready."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked: list[str] = []


class _Unready(BaseHTTPRequestHandler):
    server: Unready

    def do_GET(self) -> None:
        self._answer(503)

    def do_POST(self) -> None:
        self._answer(201)

    def _answer(self, status: int) -> None:
        self.server.asked.append(self.path)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_when_nobody_is_there_the_proxy_says_so_in_the_same_manner(clinic: Clinic, outside: httpx.Client) -> None:
    """The last of this clinic."""
    pid = pid_of(clinic.folder, "green")
    assert pid, "or it would be this process's own group"
    os.killpg(pid, signal.SIGKILL)
    assert wait_until(lambda: outside.get("/livez").status_code == 502, 10)
    page, problem = outside.get("/patients"), outside.get("/api/me")
    assert (page.status_code, "Sigilo não responde" in page.text) == (502, True)
    assert (problem.status_code, problem.headers["Content-Type"]) == (502, "application/problem+json")
    assert problem.json() == {"type": "about:blank", "title": http.client.responses[502], "status": 502}
    for answer in (page, problem):
        assert answer.headers["Retry-After"] == "5"
        assert answer.headers["Cache-Control"] == "no-store"
        for name, value in STRICT:
            assert answer.headers.get_list(name) == [value], name
