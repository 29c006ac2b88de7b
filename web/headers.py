"""The headers that every answer carries, errors and static files included (SECURITY 16 and 18)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from config import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "font-src 'self'",
        "connect-src 'self'", "manifest-src 'self'", "form-action 'self'", "object-src 'none'", "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)  # fmt: skip
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "encrypted-media", "fullscreen",
        "geolocation", "gyroscope", "magnetometer", "microphone", "midi", "payment", "picture-in-picture",
        "publickey-credentials-get", "screen-wake-lock", "usb", "xr-spatial-tracking",
    )
)  # fmt: skip
HSTS_SECONDS = 15_552_000
# What an answer depends on besides its address. For a cache on the way that does not heed no-store: one caller's answer
# is no other's, and a fragment is no page.
VARY = "Authorization, Cookie, Accept, Accept-Language, HX-Request, HX-Request-Type, HX-Target"

STRICT = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    # Same-origin, not none: without any referrer browsers send "Origin: null" with forms.
    ("Referrer-Policy", "same-origin"),
    ("Permissions-Policy", PERMISSIONS_POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Server", "Sigilo"),  # in place of the server's own, which would tell its kind
)


class StrictHeaders:
    """Adds the constant headers around the whole application, so that no answer leaves without them.

    ``Cache-Control: no-store`` is for everything that does not say otherwise: only fingerprinted files do.
    """

    def __init__(self, application: WSGIApplication, settings: Settings) -> None:
        self._application = application
        self._headers = [*STRICT]
        if settings.is_production:
            self._headers.append(("Strict-Transport-Security", f"max-age={HSTS_SECONDS}; includeSubDomains"))
        self._uncached = [*self._headers, ("Cache-Control", "no-store"), ("Vary", VARY)]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            says = any(name == "Cache-Control" for name, _ in headers)
            return start_response(status, headers + (self._headers if says else self._uncached), *exc_info)

        return self._application(environ, start)
