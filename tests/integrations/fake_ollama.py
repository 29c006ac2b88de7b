"""A server that speaks Ollama's API over HTTP on loopback, as far as Sigilo uses it, and goes wrong on demand.

``with fake_ollama() as server:`` gives ``server.url``; ``server.answer_with(...)`` says what is answered, a text or a
function of the request; ``server.misbehave(...)`` spoils the next chats, one each; ``server.requests`` and
``server.every_byte`` are what it was sent.

Source: docs/api.md and docs/api/errors.mdx of ollama/ollama; wordings of errors as its issues quote them.
"""

from __future__ import annotations

import hashlib
import json
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any

from tests.http_server import serving

DEFAULT_MODEL = "llama3.2:3b"
OUT_OF_MEMORY = "model requires more system memory (5.6 GiB) than is available (3.1 GiB)"
SERVER_BUSY = "server busy, please try again. maximum pending requests exceeded"
RUNNER_DIED = "llama runner process has terminated: exit status 2"
WHEN = "2026-01-05T12:00:00.123456789Z"

Say = str | Callable[[dict[str, Any]], str]  # a text, or what makes one of the request


@dataclass
class Model:
    """One on the server's disk; ``remote_host`` where it only passes prompts on."""

    size: int = 2_019_393_189
    context_length: int = 131_072
    remote_host: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Trouble:
    """How one chat goes wrong. Delays in seconds; counts are of pieces of the answer, about four letters each."""

    before_first: float = 0.0
    between: float = 0.0
    silent: bool = False  # the request is taken, and nothing ever comes
    hangs_after: int | None = None
    cut_after: int | None = None
    error_after: tuple[int, str] | None = None  # an error object in the middle of the stream
    status: tuple[int, str] | None = None
    redirect: str = ""
    raw_line: bytes = b""  # in the place of the first part
    endless: bool = False  # never done, whatever num_predict says
    blanks: bool = False  # parts without text, for ever
    done_reason: str = "stop"


@dataclass(frozen=True)
class Request:
    """What one client asked."""

    method: str
    path: str
    headers: dict[str, str]  # by names in lower case
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass
class Pulling:
    """A model of the library: what of it is here, and after how many parts the next pulls break off."""

    total: int = 4_000_000
    done: int = 0
    cuts: list[int] = field(default_factory=list)


class FakeOllama(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models: dict[str, Model] = {}
        self.library: dict[str, Pulling] = {DEFAULT_MODEL: Pulling(), "qwen3:1.7b": Pulling()}
        self.requests: list[Request] = []
        self.every_byte = bytearray()
        self.closing = threading.Event()
        self.hung_up = threading.Event()  # a client left before its answer was complete
        self.being_answered = 0  # chats at this moment, and the most there ever were
        self.most_at_once = 0
        self.counting = threading.Lock()
        self.questions_hang = False  # which models there are is not said
        self.sent: list[tuple[float, str]] = []  # of the last chat: when each piece went, in seconds since the epoch
        self._says: list[Say] = ["{}"]
        self._troubles: list[Trouble] = []
        self.have(DEFAULT_MODEL)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def chats(self) -> list[dict[str, Any]]:
        """Bodies of all requests to /api/chat."""
        return [request.json for request in self.requests if request.path == "/api/chat"]

    def have(self, name: str, **about: Any) -> Model:
        """Put a model on the server's disk."""
        made = Model(**about)
        made.digest = made.digest or hashlib.sha256(name.encode()).hexdigest()
        self.models[name] = made
        return made

    def answer_with(self, *says: Say) -> None:
        """What the next chats are answered, one after the other; the last one for ever."""
        self._says = list(says)

    def misbehave(self, *troubles: Trouble) -> None:
        """What befalls the next chats, one each; those after them go well."""
        self._troubles += troubles

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def next_chat(self) -> tuple[Say, Trouble]:
        with self.counting:
            trouble = self._troubles.pop(0) if self._troubles else Trouble()
            is_answered = trouble.status is None and not trouble.redirect and not trouble.raw_line
            say = self._says.pop(0) if is_answered and len(self._says) > 1 else self._says[0]
            return say, trouble


class _Recorder:
    """A connection's input, all of which is kept."""

    def __init__(self, inner: BufferedIOBase, kept: bytearray) -> None:
        self._inner = inner
        self._kept = kept

    def read(self, size: int = -1) -> bytes:
        return self._keep(self._inner.read(size))

    def readline(self, size: int = -1) -> bytes:
        return self._keep(self._inner.readline(size))

    def _keep(self, data: bytes) -> bytes:
        self._kept += data
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Left(Exception):
    """The client has closed its side, or the server ends."""


class _Handler(BaseHTTPRequestHandler):
    server: FakeOllama
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.rfile = _Recorder(self.rfile, self.server.every_byte)  # type: ignore[assignment]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._take()
        if self.server.questions_hang:
            self.server.closing.wait(60)
            self.close_connection = True
        elif self.path == "/api/tags":
            self._object({"models": [self._tag(name, model) for name, model in self.server.models.items()]})
        elif self.path == "/api/version":
            self._object({"version": "0.12.6"})
        else:
            self._fail(404, "404 page not found")

    def do_POST(self) -> None:
        request = self._take()
        acts = {"/api/chat": self._chat, "/api/show": self._show, "/api/pull": self._pull}
        act = acts.get(self.path)
        if act is None:
            self._fail(404, "404 page not found")
            return
        try:
            act(request.json)
        except (_Left, BrokenPipeError, ConnectionResetError):
            self.server.hung_up.set()
            self.close_connection = True

    def _take(self) -> Request:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        self.server.requests.append(request)
        return request

    # -- answers -------------------------------------------------------------------------------------------

    def _object(self, value: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, status: int, text: str) -> None:
        self._object({"error": text}, status)

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _line(self, value: dict[str, Any] | bytes) -> None:
        line = value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")

    def _end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def _cut(self) -> None:
        """The connection breaks, as when the process is killed."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _wait(self, seconds: float) -> None:
        """Raises _Left as soon as the client leaves."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.server.closing.is_set():
                raise _Left
            readable, _, _ = select.select([self.connection], [], [], min(left, 0.02))
            if readable and self.connection.recv(1, socket.MSG_PEEK) == b"":
                raise _Left

    # -- models --------------------------------------------------------------------------------------------

    def _tag(self, name: str, model: Model) -> dict[str, Any]:
        remote = {"remote_host": model.remote_host, "remote_model": name} if model.remote_host else {}
        details = {"format": "gguf", "family": "llama", "families": None, "parameter_size": "3.2B"}
        return {"name": name, "model": name, **remote, "modified_at": WHEN, "size": model.size,
                "digest": model.digest, "details": details | {"quantization_level": "Q4_K_M"}}  # fmt: skip

    def _known(self, name: str) -> Model | None:
        found = self.server.models.get(name) or self.server.models.get(f"{name}:latest")
        if found is None:
            self._fail(404, f"model '{name}' not found")
        return found

    def _show(self, asked: dict[str, Any]) -> None:
        model = self._known(asked["model"])
        if model is not None:
            about = {"general.architecture": "llama", "llama.context_length": model.context_length}
            self._object({"modelfile": "", "parameters": "", "template": "", "details": {}, "model_info": about})

    def _pull(self, asked: dict[str, Any]) -> None:
        name = asked["model"]
        self._begin()
        self._line({"status": "pulling manifest"})
        pulling = self.server.library.get(name)
        if pulling is None:
            self._line({"error": "pull model manifest: file does not exist"})
            self._end()
            return
        digest = hashlib.sha256(f"layer of {name}".encode()).hexdigest()
        cut = pulling.cuts.pop(0) if pulling.cuts else None
        while pulling.done < pulling.total:
            if cut == 0:
                self._cut()
                return
            cut = None if cut is None else cut - 1
            pulling.done = min(pulling.total, pulling.done + 500_000)
            self._line({"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", "total": pulling.total,
                        "completed": pulling.done})  # fmt: skip
        for status in ("verifying sha256 digest", "writing manifest"):
            self._line({"status": status})
        self.server.have(name, size=pulling.total)
        self._line({"status": "success"})
        self._end()

    # -- chat ----------------------------------------------------------------------------------------------

    def _chat(self, asked: dict[str, Any]) -> None:
        if self._known(asked["model"]) is None:
            return
        say, trouble = self.server.next_chat()
        with self.server.counting:
            self.server.being_answered += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.being_answered)
        try:
            self._answer(asked, say, trouble)
        finally:
            with self.server.counting:
                self.server.being_answered -= 1

    def _answer(self, asked: dict[str, Any], say: Say, trouble: Trouble) -> None:
        if trouble.status is not None:
            self._fail(*trouble.status)
            return
        if trouble.redirect:
            self.send_response(307)
            self.send_header("Location", trouble.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if trouble.silent:
            self._wait(60)
            return
        began = time.monotonic_ns()
        self._wait(trouble.before_first)
        if trouble.cut_after == 0:
            self._cut()
            return
        text = say if isinstance(say, str) else say(asked)
        self._begin()
        if trouble.raw_line:
            self._line(trouble.raw_line)
        count = self._pieces(asked, text, trouble)
        if count is not None:
            self._line(self._last(asked, count, began, trouble.done_reason))
            self._end()

    def _pieces(self, asked: dict[str, Any], text: str, trouble: Trouble) -> int | None:
        """Send the text piece by piece: how many there were, or None where the answer does not come to its end."""
        most = asked.get("options", {}).get("num_predict", -1)
        self.server.sent = []
        pieces = [text[start : start + 4] for start in range(0, len(text), 4)]
        number = 0
        is_unending = trouble.endless or trouble.blanks
        while True:
            if number == trouble.hangs_after:
                self._wait(60)
                return None
            if number == trouble.cut_after:
                self._cut()
                return None
            if trouble.error_after is not None and number == trouble.error_after[0]:
                self._line({"error": trouble.error_after[1]})
                self._end()
                return None
            if number in (most, len(pieces)) and not is_unending:
                return number
            piece = "" if trouble.blanks else pieces[number % len(pieces)] if pieces else " "
            self._line({"model": asked["model"], "created_at": WHEN, "done": False,
                        "message": {"role": "assistant", "content": piece}})  # fmt: skip
            self.server.sent.append((time.time(), piece))
            number += 1
            self._wait(0.02 if trouble.blanks else trouble.between)

    def _last(self, asked: dict[str, Any], count: int, began: int, reason: str) -> dict[str, Any]:
        spent = time.monotonic_ns() - began
        is_cut = count == asked.get("options", {}).get("num_predict", -1)
        prompt = sum(len(message.get("content", "")) for message in asked["messages"]) // 4
        return {"model": asked["model"], "created_at": WHEN, "message": {"role": "assistant", "content": ""},
                "done_reason": "length" if is_cut else reason, "done": True, "total_duration": spent,
                "load_duration": spent // 10, "prompt_eval_count": prompt, "prompt_eval_duration": spent // 10,
                "eval_count": count, "eval_duration": spent // 2}  # fmt: skip


@contextmanager
def fake_ollama() -> Iterator[FakeOllama]:
    made = FakeOllama()
    with serving(made, made.closing):
        yield made
