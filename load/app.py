"""Sigilo as it is served, and beside it in the same processes ``/bench/hello``: three bytes from a Flask that does
nothing else. What that takes is this machine's measure, which results of two machines are compared by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response

from config import load_settings
from web.app import make_app

application = make_app(load_settings())
yardstick = Flask("load")
yardstick.add_url_rule("/bench/hello", "hello", lambda: Response("ok\n"))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    chosen = yardstick if environ["PATH_INFO"] == "/bench/hello" else application
    return chosen(environ, start_response)
