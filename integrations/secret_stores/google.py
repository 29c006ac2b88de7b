"""Google Secret Manager: ``versions.access`` over HTTP, as the machine's or pod's service account, or a key file's.

``gcp-sm://projects/P/secrets/S/versions/latest``; regional secrets (``projects/P/locations/L/…``) are at an endpoint of
their region. Sources: Secret Manager REST v1; "Authenticate workloads using service accounts" (metadata server); OAuth
2.0 for server to server applications (JWT bearer, RFC 7523).
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from integrations.secret_stores import StoreFailed
from integrations.secret_stores.http_json import ask, require_safe

NAME = re.compile(r"projects/[\w:.-]+(?:/locations/(?P<place>[a-z0-9-]+))?/secrets/[\w-]+/versions/[\w-]+", re.ASCII)
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
WHAT = "Google Secret Manager"
NO_ACCOUNT = "the service account is not known: give the machine or pod one, or set GOOGLE_APPLICATION_CREDENTIALS"
HINTS = {
    400: "the name is not one of a version: write projects/P/secrets/S/versions/latest",
    401: NO_ACCOUNT,
    403: "the service account may not read it: grant it Secret Manager Secret Accessor",
    404: "there is no such secret or version: check the name, or add a version",
}


def fetch(place: str, environ: Mapping[str, str]) -> str:
    name = NAME.fullmatch(place)
    if name is None:
        raise StoreFailed("a secret of Google's is written gcp-sm://projects/P/secrets/S/versions/latest")
    own = f"secretmanager.{name['place']}.rep.googleapis.com" if name["place"] else "secretmanager.googleapis.com"
    base = (environ.get("GOOGLE_SECRET_MANAGER_URL") or f"https://{own}").rstrip("/")
    require_safe("GOOGLE_SECRET_MANAGER_URL", base)
    headers = {"Authorization": f"Bearer {_token(environ)}"}
    answer = ask(WHAT, "GET", f"{base}/v1/{place}:access", hints=HINTS, headers=headers)
    try:
        return base64.b64decode(answer["payload"]["data"], validate=True).decode()
    except (KeyError, TypeError, ValueError):
        raise StoreFailed(f"{WHAT} has no text there: store it as text") from None


def _token(environ: Mapping[str, str]) -> str:
    """An access token. Raises StoreFailed."""
    key_file = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if key_file:
        answer = _exchange(key_file)
    else:
        host = environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
        hints = {404: NO_ACCOUNT}
        answer = ask(
            "Google's metadata server", "GET", f"http://{host}{METADATA}", hints=hints,
            headers={"Metadata-Flavor": "Google"},
        )  # fmt: skip
    token = answer.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise StoreFailed(f"{WHAT}: {NO_ACCOUNT}")
    return token


def _exchange(key_file: str) -> dict[str, object]:
    """The answer to a statement that the service account's key has signed."""
    try:
        account = json.loads(Path(key_file).read_text(encoding="utf-8"))
        email, address = str(account["client_email"]), str(account["token_uri"])
        key = serialization.load_pem_private_key(account["private_key"].encode(), None)
    except OSError as error:
        raise StoreFailed(f"{key_file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreFailed(f"{key_file} is no key of a service account (other kinds are not supported)") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise StoreFailed(f"{key_file} is no key of a service account: make one in Google's console")
    require_safe(f"token_uri in {key_file}", address)
    now = int(time.time())
    claims = {"iss": email, "scope": SCOPE, "aud": address, "iat": now, "exp": now + 600}
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    body = urlencode({"grant_type": JWT_BEARER, "assertion": f"{signed}.{_encoded(signature)}"}).encode()
    refused = "the key was revoked, or this machine's clock is wrong"
    return ask(
        "Google's sign-in", "POST", address, hints={400: refused, 401: refused}, body=body,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()
