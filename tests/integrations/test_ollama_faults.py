"""A model's server that goes wrong, over real HTTP: each fault ends in time, in one sentence that says what to do, and
sends nothing anywhere else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from config import Settings
from integrations.language_model import (
    AnswerInvalid,
    AnswerTooLong,
    LanguageModelError,
    ModelBusy,
    ModelUnavailable,
    Prompt,
)
from integrations.ollama.breaker import Breaker
from integrations.ollama.model import OllamaModel
from integrations.ollama.server import OllamaServer
from integrations.ollama.slots import Slots
from integrations.ollama.transport import WatchedTransport
from integrations.ollama.watch import Limits
from tests.integrations.fake_ollama import (
    OUT_OF_MEMORY,
    RUNNER_DIED,
    SERVER_BUSY,
    FakeOllama,
    Trouble,
    fake_ollama,
)  # fmt: skip
from tests.integrations.test_ollama_answers import RIGHT, Summary, server, settings

__all__ = ["server", "settings"]

PROMPT = Prompt("Resuma.", '{"R1": "a paciente tosse"}', Summary, "summary/1")
SHORT = Limits(connect=0.5, first=0.5, between=0.4, whole=1.5, question=0.5)
# Only the limit that a fault is about is short: on a busy machine another would be passed before it.
LONG = Limits(connect=20, first=20, between=20, whole=60, question=20)
LIMITS = {
    "did not begin": replace(LONG, first=0.5), "stopped in the middle": replace(LONG, between=0.4),
    "took longer": replace(LONG, whole=1.5),
}  # fmt: skip


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(settings: Settings, url: str, *, limits: Limits = LONG, breaker: Breaker | None = None) -> OllamaModel:
    return OllamaModel(
        OllamaServer(url, limits, pauses=(0.01, 0.01)), settings, breaker=breaker or Breaker(),
        slots=Slots(settings.sigilo_home / "ai", url, 1),
    )  # fmt: skip


def fails(model: OllamaModel, kind: type[LanguageModelError], *, within: float = 10.0) -> str:
    """What the error says."""
    began = time.monotonic()
    with pytest.raises(kind) as failed:
        model.answer(PROMPT, on_text=lambda _: None, is_cancelled=lambda: False)
    assert time.monotonic() - began < within
    said = str(failed.value)
    assert "\n" not in said
    assert "tosse" not in said
    return said


@pytest.mark.parametrize(
    ("trouble", "kind", "says"),
    [
        (Trouble(before_first=5), ModelUnavailable, "did not begin to answer within 0.5 s"),
        (Trouble(silent=True), ModelUnavailable, "did not begin to answer within 0.5 s"),
        (Trouble(between=0.9), ModelUnavailable, "stopped in the middle of its answer within 0.4 s"),
        (Trouble(hangs_after=3), ModelUnavailable, "stopped in the middle of its answer within 0.4 s"),
        (Trouble(between=0.25), ModelUnavailable, "took longer than 1.5 s"),
        (Trouble(blanks=True), ModelUnavailable, "did not begin to answer within 0.5 s"),
        (Trouble(endless=True), AnswerTooLong, "was cut"),
        (Trouble(cut_after=3), ModelUnavailable, "broke off in the middle"),
        (Trouble(raw_line=b"<html>not json</html>\n"), ModelUnavailable, "no Ollama"),
        (Trouble(raw_line=b"[1, 2]\n"), ModelUnavailable, "no Ollama"),
        (Trouble(raw_line=b'{"message": 5}\n'), ModelUnavailable, "no Ollama"),
        (Trouble(raw_line=b"x" * 2_000_000), AnswerTooLong, "does not end"),
        (Trouble(error_after=(2, OUT_OF_MEMORY)), ModelBusy, "does not fit into the memory"),
        (Trouble(error_after=(2, "an error was encountered")), ModelUnavailable, "in the middle of its answer"),
        (Trouble(error_after=(0, RUNNER_DIED)), ModelUnavailable, "in the middle"),
        (Trouble(status=(500, OUT_OF_MEMORY)), ModelBusy, "set AI_MODEL to a smaller one"),
        (Trouble(status=(500, RUNNER_DIED)), ModelUnavailable, "Ollama answered 500"),
        (Trouble(status=(503, SERVER_BUSY)), ModelBusy, "too much to do"),
        (Trouble(status=(400, "invalid format: tosse")), ModelUnavailable, "Ollama answered 400"),
        (Trouble(status=(401, "unauthorized")), ModelUnavailable, "wants a login"),
        (Trouble(status=(404, "404 page not found")), ModelUnavailable, "Ollama answered 404"),
    ],
    ids=lambda value: None if isinstance(value, Trouble) else getattr(value, "__name__", value),
)  # fmt: skip
def test_fault_is_a_sentence(
    server: FakeOllama, settings: Settings, trouble: Trouble, kind: type[LanguageModelError], says: str
) -> None:
    server.misbehave(trouble)
    limits = next((limits for words, limits in LIMITS.items() if words in says), None)
    within = 60.0 if limits is None else 10.0  # a server that hangs does so for longer
    assert says in fails(make(settings, server.url, limits=limits or LONG), kind, within=within)
    assert len(server.chats) == 1


def test_every_fault_that_passes_says_so(server: FakeOllama, settings: Settings) -> None:
    server.misbehave(Trouble(status=(503, SERVER_BUSY)), Trouble(cut_after=3))
    model = make(settings, server.url)
    for kind in (ModelBusy, ModelUnavailable):
        with pytest.raises(kind) as failed:
            model.answer(PROMPT, on_text=lambda _: None, is_cancelled=lambda: False)
        assert failed.value.is_passing
    assert not AnswerInvalid.is_passing


def test_answer_without_its_end_is_none(server: FakeOllama, settings: Settings) -> None:
    """All the text is there and reads well; that it is all of it nobody said."""
    server.misbehave(Trouble(cut_after=-(-len(RIGHT) // 4)))
    assert "broke off" in fails(make(settings, server.url, limits=LONG), ModelUnavailable)


def test_connection_cut_before_any_answer_is_tried_again(server: FakeOllama, settings: Settings) -> None:
    server.misbehave(Trouble(cut_after=0), Trouble(cut_after=0))
    answer = make(settings, server.url).answer(PROMPT, on_text=lambda _: None, is_cancelled=lambda: False)
    assert answer.value
    assert not answer.is_repaired
    assert len(server.chats) == 3


def test_cut_every_time_is_given_up(server: FakeOllama, settings: Settings) -> None:
    server.misbehave(*[Trouble(cut_after=0)] * 5)
    assert "hung up without an answer" in fails(make(settings, server.url), ModelUnavailable)
    assert len(server.chats) == 3


# -- where it goes, and where it does not --------------------------------------------------------------------


def test_redirect_is_not_followed(server: FakeOllama, settings: Settings) -> None:
    with fake_ollama() as elsewhere:
        server.misbehave(Trouble(redirect=f"{elsewhere.url}/api/chat"))
        assert "sends elsewhere (307)" in fails(make(settings, server.url), ModelUnavailable)
        assert elsewhere.requests == []


def test_environment_names_no_proxy_and_no_key(
    server: FakeOllama, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_ollama() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("OLLAMA_API_KEY", "key-of-a-cloud")
        monkeypatch.setenv("OLLAMA_HOST", proxy.url)
        model = make(settings, server.url)
        assert model.answer(PROMPT, on_text=lambda _: None, is_cancelled=lambda: False).value
        assert bytes(proxy.every_byte) == b""
    assert b"key-of-a-cloud" not in server.every_byte
    assert not any("authorization" in request.headers for request in server.requests)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_name_that_leads_out_is_not_connected_to(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """As when somebody answers for the name who should not: looked up, refused, and nothing was sent."""
    looked_up: list[str] = []
    connected: list[object] = []

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[object]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", port)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.114.9", port))]  # fmt: skip

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", lambda *given, **_: connected.append(given))
    model = make(settings, f"{scheme}://ollama.clinic:11434")
    assert "leads out of this machine and its private network" in fails(model, ModelUnavailable)
    assert looked_up == ["ollama.clinic"]
    assert connected == []


def test_nobody_there_is_said_with_the_address(settings: Settings) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        assert f"nobody answers at {url}" in fails(make(settings, url), ModelUnavailable)


@contextmanager
def mute() -> Iterator[str]:
    """Takes connections and says nothing: the address of something that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_half_open_server_is_left_in_time(settings: Settings) -> None:
    with mute() as url:
        assert "did not begin to answer" in fails(make(settings, url, limits=SHORT), ModelUnavailable)


def test_another_web_server_is_recognised(settings: Settings) -> None:
    with fake_ollama() as server:
        server.models.clear()
        other = OllamaServer(f"{server.url}/elsewhere", LONG, pauses=())
        with pytest.raises(ModelUnavailable, match="Ollama answered 404"):
            other.models()


def test_encrypted_servers_are_checked(settings: Settings) -> None:
    """https to something that does not speak it, or has no certificate that anybody vouches for."""
    with fake_ollama() as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(ModelUnavailable, match="nobody answers at https"):
            OllamaServer(url, SHORT, pauses=()).models()
        assert server.requests == []


# -- circuit breaker -----------------------------------------------------------------------------------------


def test_breaker_opens_rests_probes_and_closes(server: FakeOllama, settings: Settings) -> None:
    clock = Clock()
    breaker = Breaker(failures=2, rest=30, clock=clock)
    model = make(settings, server.url, breaker=breaker)
    server.misbehave(*[Trouble(status=(500, RUNNER_DIED))] * 3)
    fails(model, ModelUnavailable)
    assert breaker.state == "closed"
    fails(model, ModelUnavailable)
    assert breaker.state == "open"
    asked = len(server.requests)
    assert "left alone for another 30 s" in fails(model, ModelUnavailable, within=0.1)
    assert len(server.requests) == asked

    clock.now += 30
    assert breaker.state == "half-open"
    fails(model, ModelUnavailable)  # the probe, which fails: another rest
    assert (breaker.state, len(server.chats)) == ("open", 3)
    clock.now += 29
    fails(model, ModelUnavailable, within=0.1)
    assert len(server.chats) == 3

    clock.now += 1
    assert model.answer(PROMPT, on_text=lambda _: None, is_cancelled=lambda: False).value
    assert breaker.state == "closed"


def test_one_probe_at_a_time() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, rest=10, clock=clock)
    with pytest.raises(ModelUnavailable), breaker.guard():
        raise ModelUnavailable("no")
    clock.now += 10
    with breaker.guard(), pytest.raises(ModelUnavailable, match="one request tries it"), breaker.guard():
        raise AssertionError("let through beside the probe")
    assert breaker.state == "closed"


def test_probe_that_is_interrupted_leaves_the_next_one_its_turn() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, rest=10, clock=clock)
    with pytest.raises(ModelUnavailable), breaker.guard():
        raise ModelUnavailable("no")
    clock.now += 10
    with pytest.raises(KeyboardInterrupt), breaker.guard():
        raise KeyboardInterrupt
    assert breaker.state == "half-open"
    with breaker.guard():
        pass
    assert breaker.state == "closed"


def test_what_answers_is_not_broken(server: FakeOllama, settings: Settings) -> None:
    """Nonsense, a full memory and a missing model are answers: waiting would not help, and asking does not hang."""
    breaker = Breaker(failures=1)
    server.answer_with("nonsense")
    server.misbehave(Trouble(status=(503, SERVER_BUSY)))
    model = make(settings, server.url, breaker=breaker)
    fails(model, ModelBusy)
    fails(model, AnswerInvalid)
    assert breaker.state == "closed"


# -- connections ---------------------------------------------------------------------------------------------


def test_no_connection_is_left_behind(server: FakeOllama, settings: Settings) -> None:
    server.misbehave(Trouble(hangs_after=2))
    before = threading.active_count()
    fails(make(settings, server.url, limits=LIMITS["stopped in the middle"]), ModelUnavailable)
    assert server.hung_up.wait(2)
    until = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < until:
        server.closing.wait(0.01)
    assert threading.active_count() == before


def test_transport_is_the_only_way_out() -> None:
    """Both clients of a server are made over it: whoever adds a third is found here."""
    source = Path(OllamaServer.__init__.__code__.co_filename).read_text(encoding="utf-8")
    assert WatchedTransport.__name__ in source
    assert source.count("httpx.Client(") + source.count("ollama.Client(") == source.count("trust_env=False") == 2
