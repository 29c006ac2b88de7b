"""Pages and their fragments, redirects and toasts: the only reader of HX-* headers, and their only writer.

A page is whole without a script. htmx asks for a part of it by naming the element it will replace: the view
names which template fills which element, and both are rendered from one context.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from web.shell import shell_context

MAIN = "main"  # id of the element with a page's content; see templates/layouts
DONE = "done"  # names the toast that the page after a redirect shows; see templates/components/toast.html


def is_htmx() -> bool:
    """Whether htmx asks, and will put the answer into a page that is there already."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Request-Type") != "full"


def target() -> str | None:
    """Id of the element that the answer goes into: of ``section#worklist``, ``worklist``."""
    return request.headers.get("HX-Target", "").partition("#")[2] or None


def show(page: str, fragments: Mapping[str, str] | None = None, /, *, status: int = 200, **context: Any) -> Response:
    """Render ``page``, or for htmx the one of ``fragments`` (element id → template) that it will replace; of the page
    itself the content alone where that is what it replaces."""
    wanted = target() if is_htmx() else None
    fragment = (fragments or {}).get(wanted or "")
    if fragment is not None:
        return make_response(render_template(fragment, **context), status)
    if wanted == MAIN:
        return make_response(render_template(page, only_main=True, **context), status)
    return make_response(render_template(page, **shell_context(), **context), status)


def go(path: str, *, done: str | None = None) -> BaseResponse:
    """Send the browser to ``path`` after an act; ``done`` names the toast that says what was done there."""
    if done is not None:
        path += ("&" if "?" in path else "?") + urlencode({DONE: done})
    if is_htmx():
        return Response(status=204, headers={"HX-Redirect": path})
    return redirect(path, 303)


def refresh(answer: Response) -> Response:
    """Have the live parts of the page that htmx asks from fetch themselves anew, as when anything changed."""
    if is_htmx():
        answer.headers["HX-Trigger"] = "sigilo:changed"
    return answer


def show_again(answer: Response, *, into: str) -> Response:
    """Have htmx put ``answer`` into the element with the id ``into`` instead of the one it asked for."""
    if is_htmx():
        answer.headers["HX-Retarget"] = f"#{into}"
        answer.headers["HX-Reswap"] = "innerHTML"
    return answer
