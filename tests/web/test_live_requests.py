"""Requests that only a real server can be sent: bodies without a length, broken request lines, many at once."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from config import Settings
from tests.factories.cast import Cast
from tests.web.live_server import LiveServer, live_server
from web.request_body import MAX_BYTES


@pytest.fixture(scope="module")
def web(settings: Settings, home: Path) -> Iterator[LiveServer]:
    with live_server(settings, home) as server:
        yield server


def chunked(
    server: LiveServer, cast: Cast, parts: Iterable[bytes], **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """POST ``parts`` as chunks, without saying how many there will be."""
    sent = {**cast.doctor.headers, "Content-Type": "application/json", "Transfer-Encoding": "chunked", **headers}
    framed = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"
    return server.send("POST", "/api/medical-records/search", sent, framed)


def test_security_28_a_body_in_chunks_is_read(web: LiveServer, cast: Cast) -> None:
    status, _, body = chunked(web, cast, [b'{"q":', b'"dor"', b"}"])
    assert status == 200
    assert "data" in json.loads(body)


def test_security_28_a_large_body_in_chunks_is_413(web: LiveServer, cast: Cast) -> None:
    status, _, body = chunked(web, cast, [b'{"q":"', *([b"x" * 65536] * (MAX_BYTES // 65536 + 1)), b'"}'])
    assert status == 413
    assert json.loads(body)["status"] == 413


def test_security_28_200_000_brackets_leave_the_server_up(web: LiveServer, cast: Cast) -> None:
    for data in (b"[" * 200_000, b'{"a":' * 200_000, b"[" * 200_000 + b"]" * 200_000):
        headers = {**cast.doctor.headers, "Content-Type": "application/json"}
        status, _, body = web.send("POST", "/api/medical-records/search", headers, data)
        assert status == 400
        assert json.loads(body)["title"] == "Bad Request"
    assert web.get("/livez")[0] == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/%ff%fe/%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET //evil.example/%2e%2e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /login HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n",
    ],
)
def test_odd_requests_get_a_client_error_or_an_answer_and_never_500(raw: bytes, web: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as line:
        line.sendall(raw)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while block := line.recv(65536):
                answer += block
        except ConnectionResetError:
            pass
    status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/") else b"closed"
    assert not status.startswith(b"5"), answer[:200]
    assert b"evil.example" not in answer
    assert web.get("/livez")[0] == 200


def test_security_16_the_server_names_neither_itself_nor_its_version(web: LiveServer) -> None:
    _, headers, _ = web.get("/login")
    assert headers["server"] == "Sigilo"
    assert not any("granian" in value.lower() or "python" in value.lower() for value in headers.values())
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_the_log_holds_no_address_of_a_request(web: LiveServer, cast: Cast) -> None:
    web.get(f"/api/patients/{cast.patient_id}?q=Maria", cast.doctor.headers)
    log = web.log.read_bytes()
    assert b'"route":"/api/patients/<uuid:patient_id>"' in log
    for leaked in (str(cast.patient_id).encode(), b"Maria", cast.doctor.token.encode()):
        assert leaked not in log
