"""An Ollama server, over its own client and API (https://docs.ollama.com/api): which models it has, pulling one, and
one chat as a stream of parts.

Whatever goes wrong becomes one of the errors of ``integrations.language_model``, in words of ours: what a server says
may quote what it was sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import httpcore
import httpx
import ollama
from pydantic import BaseModel, Field

from integrations.language_model import LanguageModelError, ModelBusy, ModelMissing, ModelUnavailable
from integrations.ollama.transport import WatchedTransport
from integrations.ollama.watch import Limits, TooSlow, Watch

Result = TypeVar("Result")
Shape = TypeVar("Shape", bound=BaseModel)

BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpx.TransportError)
PAUSES = (0.2, 0.8)  # before the second and the third try, which is the last
MEMORY = ("requires more system memory", "out of memory", "cudamalloc failed", "unable to allocate")
BUSY = ("server busy", "maximum pending requests")
PLAIN = {"accept-encoding": "identity"}  # what is packed can't be counted before it is unpacked
NO_OLLAMA = "what answers at OLLAMA_URL is no Ollama: correct the address"
PULL_BROKE = "the pull broke off: run `sigilo ai pull` again, it goes on where it was"
LOOK_AT_IT = "look at Ollama's log (journalctl -u ollama)"


class Passing(ModelUnavailable):
    """Nothing was answered at all: the same request may be sent again, and may well succeed."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that the server has on its disk."""

    name: str
    digest: str  # SHA-256 in hexadecimal
    size: int  # bytes


class _Tag(BaseModel):
    """One model of /api/tags. Ollama's client leaves ``remote_host`` out, which says that it runs elsewhere."""

    name: str
    digest: str = ""
    size: int = 0
    remote_host: str = ""


class _Tags(BaseModel):
    models: list[_Tag]


class _Version(BaseModel):
    version: str


class _Shown(BaseModel):
    """What /api/show says of a model, as far as it matters here."""

    model_info: dict[str, Any] = Field(default_factory=dict)
    remote_host: str = ""


class OllamaServer:
    """The server at ``url``. Threads may share it: each request has a connection of its own."""

    def __init__(
        self, url: str, limits: Limits | None = None, *, pauses: Sequence[float] = PAUSES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.url = url.rstrip("/")
        self.limits = limits or Limits()
        self._pauses = pauses
        self._clock = clock

    def version(self) -> str:
        """Of Ollama."""
        return self._again(lambda: self._json(_Version, "GET", "/api/version")).version[:40]

    def models(self) -> list[LocalModel]:
        """What runs on this server itself, by name. Models that only pass prompts on to a cloud are none."""
        tags = self._again(lambda: self._json(_Tags, "GET", "/api/tags"))
        found = [LocalModel(tag.name, _bare(tag.digest), tag.size) for tag in tags.models if not tag.remote_host]
        return sorted(found, key=lambda model: model.name)

    def model(self, name: str) -> LocalModel:
        """The one called ``name``. Raises ModelMissing."""
        for model in self.models():
            if model.name == tagged(name):
                return model
        raise missing(name)

    def context_length(self, name: str) -> int | None:
        """How many tokens the model was made for; None where it does not say."""
        shown = self._again(lambda: self._json(_Shown, "POST", "/api/show", {"model": name}, name))
        if shown.remote_host:
            raise missing(name)
        lengths = [value for key, value in shown.model_info.items() if key.endswith(".context_length")]
        return int(lengths[0]) if lengths and isinstance(lengths[0], int) else None

    def pull(self, name: str, progress: Callable[[int, int | None], None]) -> LocalModel:
        """Bring the model ``name`` from Ollama's library; ``progress`` gets bytes done, and all bytes once known.
        A pull that breaks off goes on where it was, here a few times, and whenever somebody calls again."""
        self._again(lambda: self._pull(name, progress))
        return self.model(name)

    def chat(
        self, name: str, messages: Sequence[dict[str, str]], *, schema: dict[str, Any], options: dict[str, Any],
        keep_alive: float | str, watch: Watch,
    ) -> Generator[ollama.ChatResponse, None, None]:  # fmt: skip
        """The parts of one answer, the last with ``done``. Close the iterator to stop the model.

        Tried again only while nothing of an answer came, so no word is ever generated twice for nothing.
        """
        for pause in (*self._pauses, None):
            try:
                with self._speaking(name, watch) as client:
                    # Without thinking aloud: it is nothing that the schema could hold to, and takes a minute.
                    parts = client.chat(
                        model=name, messages=list(messages), stream=True, think=False, format=schema, options=options,
                        keep_alive=keep_alive,
                    )  # fmt: skip
                    for part in parts:
                        yield part
                        if part.done:
                            return
                    raise ModelUnavailable(f"the answer broke off in the middle: {LOOK_AT_IT}")
            except Passing:
                if pause is None:
                    raise
                time.sleep(pause)
                watch.look()

    def _pull(self, name: str, progress: Callable[[int, int | None], None]) -> None:
        seconds = 600.0  # one of Ollama's own checks of a large layer says nothing for minutes
        watch = Watch(Limits(first=60.0, between=seconds, whole=float("inf")), clock=self._clock)
        sizes: dict[str, tuple[int, int]] = {}
        most = 0
        with self._speaking(name, watch, is_pull=True) as client:
            for part in client.pull(name, stream=True):
                watch.progress()
                if part.digest and part.total:
                    sizes[part.digest] = (part.completed or 0, part.total)
                    most = max(most, sum(done for done, _ in sizes.values()))
                    progress(most, sum(total for _, total in sizes.values()))
                if part.status == "success":
                    return
        raise Passing(PULL_BROKE)

    def _json(self, kind: type[Shape], method: str, path: str, body: Any = None, name: str = "") -> Shape:
        """One object of the API that Ollama's client does not give whole."""
        watch = Watch(self.limits.of_question, clock=self._clock)
        transport = WatchedTransport(self.url, watch)
        with self._errors(name, watch), httpx.Client(transport=transport, trust_env=False, headers=PLAIN) as client:
            answer = client.request(method, f"{self.url}{path}", json=body)
            if not answer.is_success:
                raise ollama.ResponseError(answer.text, answer.status_code)
            return kind.model_validate_json(answer.content)

    @contextmanager
    def _speaking(self, name: str, watch: Watch, *, is_pull: bool = False) -> Iterator[ollama.Client]:
        with self._errors(name, watch, is_pull=is_pull), ollama.Client(
            self.url, follow_redirects=False, trust_env=False, transport=WatchedTransport(self.url, watch),
            headers=PLAIN,
        ) as client:  # fmt: skip
            yield client

    @contextmanager
    def _errors(self, name: str, watch: Watch, *, is_pull: bool = False) -> Iterator[None]:
        try:
            yield
        except TooSlow:
            if is_pull:
                raise Passing(PULL_BROKE) from None
            raise
        except LanguageModelError:
            raise
        except ollama.ResponseError as error:
            _explain(error, name, is_pull=is_pull)
        except (ConnectionError, httpcore.ConnectError, httpcore.ConnectTimeout, httpx.ConnectError):
            raise Passing(f"nobody answers at {self.url}: start Ollama, or correct OLLAMA_URL") from None
        except BROKEN as error:
            if is_pull:
                raise Passing(PULL_BROKE) from None
            if watch.has_received:
                raise ModelUnavailable(f"the answer broke off in the middle: {LOOK_AT_IT}") from None
            raise Passing(f"{self.url} hung up without an answer ({type(error).__name__}): {LOOK_AT_IT}") from None
        except (ValueError, TypeError, AttributeError):  # no JSON, or another one: the client reads it as it comes
            raise ModelUnavailable(NO_OLLAMA) from None

    def _again(self, ask: Callable[[], Result]) -> Result:
        for pause in self._pauses:
            try:
                return ask()
            except Passing:
                time.sleep(pause)
        return ask()


def tagged(name: str) -> str:
    """``llama3.2`` is short for ``llama3.2:latest``."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def missing(name: str) -> ModelMissing:
    return ModelMissing(f"the model {name} is not there: run `sigilo ai pull {name}`")


def _bare(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _explain(error: ollama.ResponseError, name: str, *, is_pull: bool) -> NoReturn:
    """Raise what the answer of a server means. In the middle of a stream the status is -1, and the text is all."""
    status, said = error.status_code, str(error.error).lower()
    if any(words in said for words in MEMORY):
        raise ModelBusy(
            f"the model {name} does not fit into the memory that is free: free some, or set AI_MODEL to a smaller one",
            retry_after=60.0,
        ) from None
    if status in (429, 503) or any(words in said for words in BUSY):
        raise ModelBusy("Ollama has too much to do: try again in a moment") from None
    if is_pull and status in (-1, 400, 404, 500):
        if "file does not exist" in said or "not found" in said:
            raise ModelMissing(f"Ollama's library has no model {name}: see https://ollama.com/library") from None
        if "no space left" in said:
            raise ModelUnavailable("the disk of Ollama is full: free some space and run it again") from None
        raise Passing(f"{PULL_BROKE}; else {LOOK_AT_IT}") from None
    if status == 404 and "not found" in said and "model" in said:
        raise missing(name) from None
    if 300 <= status < 400:
        raise ModelUnavailable(
            f"what answers at OLLAMA_URL sends elsewhere ({status}), where nobody follows: set the address itself"
        ) from None
    if status in (401, 403):
        raise ModelUnavailable(f"OLLAMA_URL answered {status}: it wants a login, or the model is a cloud's") from None
    if status in (502, 504):
        raise Passing(f"what stands before Ollama answered {status}: is Ollama running behind it?") from None
    if status == -1:
        raise ModelUnavailable(f"the model failed in the middle of its answer: {LOOK_AT_IT}") from None
    raise ModelUnavailable(f"Ollama answered {status}: {LOOK_AT_IT}") from None
