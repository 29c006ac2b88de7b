"""During a deployment: what the network lets through, seen from outside as browsers and strangers see it."""

from __future__ import annotations

import socket
import ssl
import warnings
from urllib.parse import urlsplit

import httpx

from embedded.preflight.check import FailedError, NotHereError
from embedded.preflight.ground import TIMEOUT_SECONDS, Ground
from embedded.smoke import HSTS_SECONDS, LOCAL

FOREIGN = "https://elsewhere.example"  # RFC 2606: nobody's
NEEDS_TLS = "needs an https:// address: give --url with the one that people use"
# What our own OpenSSL says when it can't even offer such a connection.
NOT_OFFERED = ("NO_PROTOCOLS_AVAILABLE", "NO_CIPHERS_AVAILABLE", "UNSUPPORTED_PROTOCOL")


def old_tls_is_refused(ground: Ground) -> str:
    """TLS 1.0 and 1.1 are really offered, and nothing but a refusal comes."""
    parts = urlsplit(ground.url)
    if not ground.is_over_tls:
        raise NotHereError(NEEDS_TLS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only the version is of interest
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection((parts.hostname or "", parts.port or 443), TIMEOUT_SECONDS) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=parts.hostname) as wrapped:
                raise FailedError(f"{wrapped.version()} is spoken: allow TLS 1.2 and newer alone, in the proxy")
        except ssl.SSLError as error:
            if error.reason in NOT_OFFERED:
                raise NotHereError(f"this machine's OpenSSL can't offer TLS 1.1 ({error.reason})") from None
            reason = error.reason or "closed"
        except ConnectionError as error:
            reason = type(error).__name__
    return f"TLS 1.0 and 1.1 were offered and refused ({reason})"


def plain_http_is_redirected(ground: Ground) -> str:
    """Whoever types the address without https:// is led there, by a redirect that keeps the path."""
    parts = urlsplit(ground.url)
    if not ground.is_over_tls:
        raise NotHereError(NEEDS_TLS)
    if not ground.given.http_url and parts.port not in (None, 443):
        raise NotHereError(f"which http:// address stands beside port {parts.port}? Give it with --http-url")
    address = f"{ground.given.http_url.rstrip('/') or f'http://{parts.hostname}'}/login"
    answer = ground.client.get(address)
    target = answer.headers.get("location", "")
    if answer.status_code not in (301, 308) or not target.startswith(f"https://{parts.hostname}"):
        raise FailedError(f"{address} answers {answer.status_code} {target}: have the proxy redirect it to https://")
    return f"{answer.status_code} to {target}"


def browsers_stay_with_https(ground: Ground) -> str:
    """HSTS for half a year."""
    if not ground.is_over_tls:
        raise NotHereError(NEEDS_TLS)
    said: str = ground.client.get("/login").headers.get("strict-transport-security", "")
    seconds = next((part.strip() for part in said.split(";") if part.strip().startswith("max-age=")), "max-age=0")
    if int(seconds.partition("=")[2]) < HSTS_SECONDS:
        raise FailedError(f"Strict-Transport-Security is {said or 'missing'}: is SIGILO_ENV production?")
    return said


def foreign_origins_get_nothing(ground: Ground) -> str:
    """A page of somebody else's may neither ask nor read."""
    asked = {"Origin": FOREIGN}
    before = {**asked, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    answers = [
        ground.client.options("/api/patients", headers=before),
        ground.client.get("/api/me", headers=asked),
        ground.client.get("/login", headers=asked),
    ]
    for answer in answers:
        allowed = answer.headers.get("access-control-allow-origin")
        if allowed is not None:
            raise FailedError(
                f"{answer.request.method} {answer.url.path} lets {allowed} read it: look at CORS_ORIGINS and at what"
                " the proxy adds"
            )
    if answers[0].status_code != httpx.codes.FORBIDDEN:
        raise FailedError(f"a foreign preflight request gets {answers[0].status_code}, not 403")
    return f"Origin {FOREIGN}: 403 to its question, no header on {len(answers)} answers"


def metrics_are_there(ground: Ground) -> str:
    """Whoever watches is given numbers, of the version that runs."""
    families = ground.metrics
    build = families.get("sigilo_build_info") or families.get("sigilo_build")
    version = build.samples[0].labels.get("version", "?") if build is not None and build.samples else "?"
    names = [name for name in families if name.startswith("sigilo_")]
    where = "" if urlsplit(ground.url).hostname in LOCAL else ", not open to everybody"
    return f"{len(names)} metrics of version {version}{where}"
