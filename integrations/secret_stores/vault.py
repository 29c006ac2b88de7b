"""HashiCorp Vault (and OpenBao): the newest version of a secret in a KV version 2 engine.

``vault://MOUNT/PATH#KEY``. VAULT_ADDR says where it is; VAULT_TOKEN or VAULT_TOKEN_FILE, or VAULT_ROLE (Kubernetes
authentication, at VAULT_AUTH_MOUNT) who we are; VAULT_NAMESPACE and VAULT_CACERT where needed. Source: Vault HTTP API,
"KV secrets engine version 2: read secret version" and "Kubernetes auth method: login".
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from integrations.secret_stores import StoreFailed
from integrations.secret_stores.http_json import ask, require_safe

SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105
WHAT = "Vault"
HINTS = {
    400: "check mount and path: the engine must be KV version 2",
    403: "the token is unknown, has expired or may not read there: renew it, or allow read on MOUNT/data/PATH",
    404: "there is no such secret, or its newest version was deleted: check mount and path",
    503: "it is sealed or in maintenance: unseal it",
}
LOGIN_HINTS = {
    400: "check VAULT_ROLE and VAULT_AUTH_MOUNT",
    403: "the pod's service account may not use VAULT_ROLE: bind it to the role",
    404: "there is no Kubernetes authentication at VAULT_AUTH_MOUNT",
}


def fetch(place: str, environ: Mapping[str, str]) -> str:
    mount, _, path = place.partition("/")
    if not mount or not path or any(part in ("", ".", "..") for part in path.split("/")):
        raise StoreFailed("a secret of Vault's is written vault://MOUNT/PATH#KEY")
    base = environ.get("VAULT_ADDR", "").rstrip("/")
    require_safe("VAULT_ADDR", base)
    context = _context(environ.get("VAULT_CACERT"))
    headers = {"X-Vault-Request": "true"}
    if environ.get("VAULT_NAMESPACE"):
        headers["X-Vault-Namespace"] = environ["VAULT_NAMESPACE"]
    headers["X-Vault-Token"] = _token(base, environ, headers, context)
    url = f"{base}/v1/{quote(mount)}/data/{quote(path)}"
    answer = ask(WHAT, "GET", url, hints=HINTS, headers=headers, context=context)
    data = answer.get("data")
    found = data.get("data") if isinstance(data, dict) else None
    if not isinstance(found, dict):
        raise StoreFailed(f"{WHAT} has no version of KV 2 there: {HINTS[400]}")
    return json.dumps(found)


def _token(base: str, environ: Mapping[str, str], headers: Mapping[str, str], context: ssl.SSLContext | None) -> str:
    if environ.get("VAULT_TOKEN"):
        return _sendable(environ["VAULT_TOKEN"], "VAULT_TOKEN")
    if environ.get("VAULT_TOKEN_FILE"):
        return _file(environ["VAULT_TOKEN_FILE"])
    role = environ.get("VAULT_ROLE")
    if not role:
        raise StoreFailed("Vault asks who we are: set VAULT_TOKEN_FILE, or VAULT_ROLE in Kubernetes")
    body = json.dumps({"role": role, "jwt": _file(environ.get("VAULT_JWT_FILE") or SERVICE_ACCOUNT_TOKEN)}).encode()
    mount = quote(environ.get("VAULT_AUTH_MOUNT") or "kubernetes")
    sent = {**headers, "Content-Type": "application/json"}
    answer = ask(
        f"{WHAT}'s sign-in", "POST", f"{base}/v1/auth/{mount}/login", hints=LOGIN_HINTS, headers=sent, body=body,
        context=context,
    )  # fmt: skip
    auth = answer.get("auth")
    token = auth.get("client_token") if isinstance(auth, dict) else None
    if not isinstance(token, str):
        raise StoreFailed(f"{WHAT}'s sign-in gave no token: {LOGIN_HINTS[400]}")
    return _sendable(token, "the token that Vault gave")


def _file(name: str) -> str:
    try:
        return _sendable(Path(name).read_text(encoding="utf-8").strip(), name)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise StoreFailed(f"{name} cannot be read: {reason}") from None


def _sendable(token: str, name: str) -> str:
    """A header takes no line break; http.client's complaint would quote what it got."""
    if not token or not token.isascii() or not token.isprintable():
        raise StoreFailed(f"{name} is empty or no token: write the token alone, in one line")
    return token


def _context(authority: str | None) -> ssl.SSLContext | None:
    if not authority:
        return None
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError:  # what is no certificate raises ssl.SSLError, which is one
        raise StoreFailed("VAULT_CACERT names no readable file with certificates") from None
