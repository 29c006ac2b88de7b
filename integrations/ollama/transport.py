"""How requests reach a model's server: directly, under a watch, and nowhere else (SECURITY 25).

No proxy, no redirect, no key or host that the environment names, and no address outside of this machine and private
networks, encrypted or not: a name is looked up here, and what was looked at is what is connected to.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from config_urls import is_private_address
from integrations.language_model import ModelUnavailable
from integrations.ollama.watch import SLICE_SECONDS, Watch

WRITE_SECONDS = 10.0


class WatchedTransport(httpx.BaseTransport):
    """httpx's own transport can't be told what it connects to, nor be cancelled while it waits; this one can."""

    def __init__(self, url: str, watch: Watch) -> None:
        is_plain = urlsplit(url).scheme == "http"
        self._pool = httpcore.ConnectionPool(
            ssl_context=None if is_plain else ssl.create_default_context(),
            network_backend=_Network(watch),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.headers.pop("authorization", None)  # the client takes one from OLLAMA_API_KEY: a key of the cloud
        url = httpcore.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port,
            target=request.url.raw_path,
        )  # fmt: skip
        answer = self._pool.handle_request(
            httpcore.Request(
                request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _Network(httpcore.NetworkBackend):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._addresses(host, port):
            try:
                stream = self._inner.connect_tcp(address, port, self._watch.limits.connect, None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                self._watch.look()
                continue
            return _Watched(stream, self._watch)
        raise failure

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from None
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        if not all(is_private_address(address) for address in addresses):
            raise ModelUnavailable(
                "OLLAMA_URL leads out of this machine and its private network: set it to an Ollama of your own"
            )
        return addresses


class _Watched(httpcore.NetworkStream):
    """A connection that is read in slices, with a look at the watch between them."""

    def __init__(self, inner: httpcore.NetworkStream, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            self._watch.look()
            try:
                data = self._inner.read(max_bytes, SLICE_SECONDS)
            except httpcore.ReadTimeout:
                continue
            self._watch.count(len(data))
            return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, WRITE_SECONDS)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._watch.limits.connect)
        return _Watched(inner, self._watch)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
