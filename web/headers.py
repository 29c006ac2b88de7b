"""The headers that every answer carries, errors and static files included (SECURITY 16 and 18)."""

from __future__ import annotations

from flask import Response

from config import Settings

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


def strict_headers(settings: Settings) -> tuple[tuple[str, str], ...]:
    """The constant headers of this installation."""
    if not settings.is_production:
        return STRICT
    return (*STRICT, ("Strict-Transport-Security", f"max-age={HSTS_SECONDS}; includeSubDomains"))


def add_strict_headers(response: Response, constant: tuple[tuple[str, str], ...]) -> None:
    response.headers.extend(constant)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
