"""Requests that go where they are sent and nowhere else: no redirect, no proxy that the environment may name
(SECURITY 25)."""

from __future__ import annotations

import ssl
import urllib.request
from typing import Any


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Refuse: the answer stays the redirect, which is no 2xx."""
        return


def make_opener(context: ssl.SSLContext | None = None) -> urllib.request.OpenerDirector:
    """What opens addresses; ``context`` where an authority of one's own is trusted."""
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), _NoRedirect, urllib.request.HTTPSHandler(context=context)
    )
