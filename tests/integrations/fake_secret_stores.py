"""AWS Secrets Manager, Google Secret Manager (with its metadata server and sign-in) and Vault, over HTTP on loopback,
as far as Sigilo asks them: the requests and answers that their references document.

Sources: AWS Secrets Manager API reference (GetSecretValue, common errors) and Signature Version 4; Secret Manager REST
v1 (projects.secrets.versions.access); Compute Engine "about VM metadata"; RFC 7523; Vault HTTP API (KV version 2,
Kubernetes auth, errors).
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.http_server import serving

REGION, ACCESS_KEY, SECRET_ACCESS_KEY = "sa-east-1", "AKIDOFTHETESTS", "k" * 40
VAULT_TOKEN, LOGIN_TOKEN, POD_JWT, ROLE = "hvs.of-the-tests", "hvs.given-at-login", "jwt-of-the-pod", "sigilo"
GOOGLE_TOKEN, ACCOUNT = "ya29.of-the-tests", "sigilo@clinic.iam.gserviceaccount.com"

Answer = tuple[int, object]


class FakeStores(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secrets: dict[str, str] = {}  # as each store names them
        self.account_key: rsa.RSAPublicKey | None = None  # of the service account, for a key file
        self.asked: list[str] = []  # "METHOD path", Amazon's by their target
        self.instead: list[Answer | None] = []  # for the next requests; None: as ever
        self.hangs = False
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """For a process that reaches all three here."""
        return {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.url, "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "GOOGLE_SECRET_MANAGER_URL": self.url, "GCE_METADATA_HOST": self.url.removeprefix("http://"),
            "VAULT_ADDR": self.url, "VAULT_TOKEN": VAULT_TOKEN,
        }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    server: FakeStores
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes) -> None:
        target = self.headers.get("X-Amz-Target")
        self.server.asked.append(target or f"{self.command} {self.path}")
        if self.server.hangs:
            self.server.closing.wait(30)
            return
        given = self.server.instead.pop(0) if self.server.instead else None
        status, answer = given or (self._amazon(body) if target else self._other(urlsplit(self.path).path, body))
        sent = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1" if target else "application/json")
        if status in (301, 302, 307):
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def _amazon(self, body: bytes) -> Answer:
        if f"Credential={ACCESS_KEY}/" not in self.headers["Authorization"]:
            return 400, {"__type": "UnrecognizedClientException", "message": "The security token is invalid."}
        if not self._is_signed(body):
            return 400, {"__type": "InvalidSignatureException", "message": "The request signature does not match."}
        name = json.loads(body)["SecretId"]
        if name not in self.server.secrets:
            return 400, {"__type": "ResourceNotFoundException", "Message": "can't find the specified secret."}
        return 200, {"ARN": f"arn:aws:secretsmanager:{REGION}:1:secret:{name}-AbCdEf", "Name": name,
                     "SecretString": self.server.secrets[name], "VersionStages": ["AWSCURRENT"]}  # fmt: skip

    def _is_signed(self, body: bytes) -> bool:
        """By the headers that the request says are signed, as of its own date."""
        given = self.headers["Authorization"]
        names = given.split("SignedHeaders=")[1].split(",")[0].split(";")
        request = AWSRequest("POST", f"{self.server.url}{self.path}", {n: self.headers[n] for n in names}, body)
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET_ACCESS_KEY), "secretsmanager", REGION)
        signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        return given.endswith(f"Signature={signature}")

    def _other(self, path: str, body: bytes) -> Answer:  # noqa: PLR0911  (a table of paths)
        if path.startswith("/computeMetadata/"):
            if self.headers.get("Metadata-Flavor") != "Google":
                return 403, b"Forbidden"
            return 200, {"access_token": GOOGLE_TOKEN, "expires_in": 3599, "token_type": "Bearer"}
        if path == "/token":
            return self._sign_in(parse_qs(body.decode()))
        if path.endswith(":access"):
            return self._google(path.removeprefix("/v1/").removesuffix(":access"))
        if path == "/v1/auth/kubernetes/login":
            sent = json.loads(body)
            if sent != {"role": ROLE, "jwt": POD_JWT}:
                return 403, {"errors": ["permission denied"]}
            return 200, {"auth": {"client_token": LOGIN_TOKEN, "lease_duration": 3600, "renewable": True}}
        if path.startswith("/v1/"):
            return self._vault(unquote(path.removeprefix("/v1/")))
        return 404, b"not here"

    def _google(self, name: str) -> Answer:
        if self.headers.get("Authorization") != f"Bearer {GOOGLE_TOKEN}":
            return 401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}}
        if name not in self.server.secrets:
            return 404, {"error": {"code": 404, "message": f"Secret [{name}] not found", "status": "NOT_FOUND"}}
        data = base64.b64encode(self.server.secrets[name].encode()).decode()
        return 200, {"name": name.replace("latest", "3"), "payload": {"data": data, "dataCrc32c": "1"}}

    def _sign_in(self, form: dict[str, list[str]]) -> Answer:
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        header, claims, signature = form["assertion"][0].split(".")
        said = json.loads(_decoded(claims))
        assert json.loads(_decoded(header)) == {"alg": "RS256", "typ": "JWT"} and said["exp"] - said["iat"] <= 3600
        try:
            assert self.server.account_key is not None
            signed = f"{header}.{claims}".encode()
            self.server.account_key.verify(_decoded(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        if (said["iss"], said["aud"]) != (ACCOUNT, f"{self.server.url}/token"):
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": GOOGLE_TOKEN, "expires_in": 3599, "token_type": "Bearer"}

    def _vault(self, path: str) -> Answer:
        if self.headers.get("X-Vault-Token") not in (VAULT_TOKEN, LOGIN_TOKEN):
            return 403, {"errors": ["permission denied"]}
        if path not in self.server.secrets:
            return 404, {"errors": []}
        metadata: dict[str, Any] = {"version": 2, "deletion_time": "", "destroyed": False}
        return 200, {"data": {"data": json.loads(self.server.secrets[path]), "metadata": metadata}}


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@contextmanager
def fake_stores() -> Iterator[FakeStores]:
    server = FakeStores()
    with serving(server, server.closing):
        yield server
