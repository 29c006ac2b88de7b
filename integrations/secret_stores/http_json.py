"""One JSON request to a store over HTTP, a few times where it may help."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from config_urls import is_safe_address
from integrations.plain_http import make_opener
from integrations.secret_stores import StoreFailed

TIMEOUT_SECONDS = 5.0  # to connect, and between two parts of an answer
PAUSES = (0.2, 0.8)  # before the second and the third try, which is the last
MOST_BYTES = 1 << 20
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that may be others a moment later


def require_safe(name: str, url: str) -> None:
    """Raise StoreFailed unless nobody on the way to ``url``, which ``name`` says, reads what is sent there: tokens,
    and secrets in answers. It quotes nothing of the address, which may hold a password."""
    try:
        is_safe = is_safe_address(url)
    except ValueError:  # brackets that are no IPv6 address
        is_safe = False
    if not is_safe:
        raise StoreFailed(f"{name} is missing or not https://host: correct it")


def ask(
    what: str, method: str, url: str, *, hints: Mapping[int, str], headers: Mapping[str, str],
    body: bytes | None = None, context: ssl.SSLContext | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The JSON object that is answered. ``what`` names the server, ``hints`` says what to do, by status.

    Raises StoreFailed, which quotes nothing of request or answer but the status.
    """
    try:
        host = urlsplit(url).hostname
        request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)  # noqa: S310
    except ValueError:
        raise StoreFailed(f"the address of {what} is none: write https://host") from None
    opener = make_opener(context)
    failure = ""
    for pause in (*PAUSES, None):
        try:
            with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                found = json.loads(answer.read(MOST_BYTES))
            break
        except urllib.error.HTTPError as error:
            error.close()
            failure = f"{what} answered {error.code}: {hints.get(error.code, 'look at its log')}"
            if error.code not in PASSING:
                raise StoreFailed(failure) from None
        except (OSError, http.client.HTTPException) as error:
            failure = f"{what} at {host} can't be reached ({_kind(error)}): check address and network"
        except ValueError:
            raise StoreFailed(f"{what} answered something that is no JSON: check its address") from None
        if pause is None:
            raise StoreFailed(failure) from None
        time.sleep(pause)
    if not isinstance(found, dict):
        raise StoreFailed(f"{what} answered something else than an object: check its address")
    return found


def _kind(error: Exception) -> str:
    """``URLError`` says nothing; what it wraps does, and is a class of ours to name, not a text."""
    reason = getattr(error, "reason", None)
    return type(reason if isinstance(reason, Exception) else error).__name__
