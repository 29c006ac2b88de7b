"""A bucket that speaks S3 over HTTP on loopback, as far as Sigilo uses it: signatures (SigV4) are computed anew, bodies
are checked, and versions stay. One bucket, path style.

Sources: Amazon S3 API reference (PutObject, GetObject, ListObjectVersions, GetObjectLockConfiguration, "Signature
Calculations for the Authorization Header").
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.http_server import serving

BUCKET, REGION, ACCESS_KEY, SECRET_KEY = "clinic-kept", "sa-east-1", "AKIDOFTHETESTS", "k" * 40
XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class Refused(Exception):
    """Status and S3's code."""


@dataclass
class Version:
    id: str
    body: bytes | None  # None: a mark of deletion
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def locked_until(self) -> datetime:
        return datetime.fromisoformat(self.headers["x-amz-object-lock-retain-until-date"])


class FakeS3(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.versions: dict[str, list[Version]] = {}  # by key, the first one first
        self.asked: list[tuple[str, str]] = []  # method and what was asked for
        self.page_size = 1000
        self.has_lock = True
        self.knows_conditions = True
        self.keeps_locks = True
        self.answers: tuple[int, dict[str, str], str] | None = None  # instead of all else
        self.hangs = False
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def lay(self, key: str, body: bytes | None, **headers: str) -> None:
        """A version over what is there, as whoever holds the keys can put it; without a body a mark of deletion."""
        number = sum(map(len, self.versions.values()))
        self.versions.setdefault(key, []).append(Version(f"v{number}", body, headers))


class _Handler(BaseHTTPRequestHandler):
    server: FakeS3
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits for the client's delayed acknowledgement

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_PUT(self) -> None:
        self._answer(self._put)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, act: Callable[[str], None]) -> None:
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.key = unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/")
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        what = next((name for name in ("object-lock", "versions") if name in self.query), "object")
        self.server.asked.append((self.command, what))
        if self.server.hangs:
            self.server.closing.wait(30)
            self.close_connection = True
        elif self.server.answers is not None:
            status, headers, text = self.server.answers
            self._send(status, headers, text.encode())
        else:
            self._answer_as_s3(act, what)

    def _answer_as_s3(self, act: Callable[[str], None], what: str) -> None:
        try:
            if not self.path.startswith(f"/{BUCKET}"):
                raise Refused(404, "NoSuchBucket")
            self._check_signature()
            act(what)
        except Refused as refusal:
            status, code = refusal.args
            document = f"<Error><Code>{code}</Code><Message>no: {escape(self.path)}</Message></Error>"
            self._send(status, {"Content-Type": "application/xml"}, document.encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _check_signature(self) -> None:
        scheme, _, rest = self.headers.get("Authorization", "").partition(" ")
        given = dict(part.strip().split("=", 1) for part in rest.split(",")) if scheme == "AWS4-HMAC-SHA256" else {}
        access_key, _, scope = given.get("Credential", "").partition("/")
        if access_key != ACCESS_KEY:
            raise Refused(403, "InvalidAccessKeyId")
        signed, when = given["SignedHeaders"].split(";"), self.headers["X-Amz-Date"]
        sent = {name.lower() for name in self.headers}
        if scope != f"{when[:8]}/{REGION}/s3/aws4_request":
            raise Refused(400, "AuthorizationHeaderMalformed")
        if not {"host", *(name for name in sent if name.startswith("x-amz-") or name == "content-md5")} <= set(signed):
            raise Refused(403, "AccessDenied")
        if self.headers["x-amz-content-sha256"] != hashlib.sha256(self.body).hexdigest():
            raise Refused(400, "XAmzContentSHA256Mismatch")
        query = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in self.query.items())
        canonical = "\n".join([
            self.command, urlsplit(self.path).path, "&".join(f"{name}={value}" for name, value in query),
            *(f"{name}:{' '.join(self.headers[name].split())}" for name in signed), "", ";".join(signed),
            self.headers["x-amz-content-sha256"],
        ])  # fmt: skip
        text = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{SECRET_KEY}".encode()
        for part in (*scope.split("/"), text):
            key = hmac.digest(key, part.encode(), "sha256")
        if not hmac.compare_digest(key.hex(), given["Signature"]):
            raise Refused(403, "SignatureDoesNotMatch")

    def _get(self, what: str) -> None:
        if what == "object-lock":
            if not self.server.has_lock:
                raise Refused(404, "ObjectLockConfigurationNotFoundError")
            enabled = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
            self._send(200, {}, f"<ObjectLockConfiguration {XMLNS}>{enabled}</ObjectLockConfiguration>".encode())
        elif what == "versions":
            self._send(200, {"Content-Type": "application/xml"}, self._listing().encode())
        else:
            versions = {each.id: each for each in self.server.versions.get(self.key, ())}
            version = versions.get(self.query["versionId"])
            if version is None or version.body is None:
                raise Refused(404, "NoSuchVersion")
            self._send(200, version.headers | {"x-amz-version-id": version.id}, version.body)

    def _listing(self) -> str:
        """By key, of each key the newest first; what a delimiter joins counts as one."""
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        rows: dict[tuple[str, str], str] = {}
        for key in sorted(key for key in self.server.versions if key.startswith(prefix)):
            folder, cut, _ = key.removeprefix(prefix).partition(delimiter or "\0")
            if cut:
                name = prefix + folder + cut
                rows[name, ""] = f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
                continue
            for version in reversed(self.server.versions[key]):
                kind = "DeleteMarker" if version.body is None else "Version"
                inner = f"<Key>{escape(key)}</Key><VersionId>{version.id}</VersionId>"
                rows[key, version.id] = f"<{kind}>{inner}</{kind}>"
        marker, names = self.query.get("key-marker", ""), list(rows)
        if "version-id-marker" in self.query:
            begin = names.index((marker, self.query["version-id-marker"])) + 1
        else:
            begin = sum(key <= marker for key, _ in names)
        shown, more = names[begin : begin + self.server.page_size], ""
        if len(names) > begin + len(shown):
            key, version_id = shown[-1]
            more = f"<IsTruncated>true</IsTruncated><NextKeyMarker>{escape(key)}</NextKeyMarker>"
            more += f"<NextVersionIdMarker>{version_id}</NextVersionIdMarker>" if version_id else ""
        return f"<ListVersionsResult {XMLNS}>{more}{''.join(rows[name] for name in shown)}</ListVersionsResult>"

    def _put(self, _: str) -> None:
        md5 = self.headers.get("Content-MD5")
        sent = {name.lower(): value for name, value in self.headers.items()}
        lock = {name: value for name, value in sent.items() if name.startswith("x-amz-object-lock-")}
        is_summed = md5 is not None or any(name.startswith("x-amz-checksum-") for name in sent)
        if lock and not (is_summed and len(lock) == 2 and self.server.has_lock):
            raise Refused(400, "InvalidRequest")
        if md5 is not None and md5 != base64.b64encode(hashlib.md5(self.body).digest()).decode():  # noqa: S324
            raise Refused(400, "BadDigest")
        if "if-none-match" in sent:
            if not self.server.knows_conditions:
                raise Refused(501, "NotImplemented")
            if self.server.versions.get(self.key, [Version("", None)])[-1].body is not None:
                raise Refused(412, "PreconditionFailed")
        self.server.lay(self.key, self.body, **(lock if self.server.keeps_locks else {}))
        self._send(200, {"x-amz-version-id": self.server.versions[self.key][-1].id})


@contextmanager
def fake_s3() -> Iterator[FakeS3]:
    made = FakeS3()
    with serving(made, made.closing):
        yield made
