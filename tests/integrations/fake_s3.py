"""A bucket that speaks S3 over HTTP on loopback, as far as Sigilo uses it: signatures (SigV4) are computed anew, bodies
are checked, and versions stay. One bucket, path style.

Sources: Amazon S3 API reference (PutObject, GetObject, HeadObject, DeleteObject, ListObjectsV2, ListObjectVersions,
CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload, ListMultipartUploads,
GetObjectLockConfiguration, GetObjectRetention, PutObjectRetention, "Signature Calculations for the Authorization
Header").
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.http_server import serving

BUCKET, REGION, ACCESS_KEY, SECRET_KEY = "clinic-kept", "sa-east-1", "AKIDOFTHETESTS", "k" * 40
LOCK_MODE, LOCK_UNTIL = "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"
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
        return datetime.fromisoformat(self.headers[LOCK_UNTIL])


@dataclass
class Upload:
    """An object that comes in parts, and how it will be locked."""

    key: str
    lock: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


class FakeS3(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[Handler] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.versions: dict[str, list[Version]] = {}  # by key, the first one first
        self.asked: list[tuple[str, str]] = []  # method and what was asked for
        self.page_size = 1000
        self.has_lock = True
        self.knows_conditions = True
        self.keeps_locks = True
        # As Google's XML API: it does not know the question whether a bucket has object lock (400; minio/mc issue 3237,
        # boto3 issue 3174), and a bucket's retention policy keeps what is younger from being deleted.
        self.is_google = False
        self.is_held = False
        self.answers: tuple[int, dict[str, str], str] | None = None  # instead of all else
        self.hangs = False
        self.uploads: dict[str, Upload] = {}
        # How many of the next requests of a kind (part, object, …) end without an answer, as when the network is cut;
        # an object is then sent as far as its middle.
        self.cuts: Counter[str] = Counter()
        # How many of the next requests, by method and kind ("HEAD object"), are answered 503, and how many are done
        # without an answer.
        self.busy: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def lay(self, key: str, body: bytes | None, **headers: str) -> None:
        """A version over what is there, as whoever holds the keys can put it; without a body a mark of deletion."""
        number = sum(map(len, self.versions.values()))
        self.versions.setdefault(key, []).append(Version(f"v{number}", body, headers))


class Handler(BaseHTTPRequestHandler):
    server: FakeS3
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits for the client's delayed acknowledgement

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_PUT(self) -> None:
        self._answer(self._put)

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def log_message(self, format: str, *args: object) -> None:
        pass

    _what = ""

    def _answer(self, act: Callable[[str], None]) -> None:
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.key = unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/")
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        known = {"object-lock": "object-lock", "versions": "versions", "list-type": "list", "uploads": "uploads"}
        known |= {"partNumber": "part", "uploadId": "upload", "retention": "retention"}
        what = next((known[name] for name in known if name in self.query), "object")
        self._what = what
        self.server.asked.append((self.command, what))
        if self.command != "GET" and self.server.cuts[what] > 0:
            self.server.cuts[what] -= 1
            self.close_connection = True
        elif self.server.busy[f"{self.command} {what}"] > 0:
            self.server.busy[f"{self.command} {what}"] -= 1
            self._send(503, {}, b"<Error><Code>SlowDown</Code></Error>")
        elif self.server.hangs:
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
        if self.server.lost[f"{self.command} {self._what}"] > 0:
            self.server.lost[f"{self.command} {self._what}"] -= 1
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.command == "GET" and self._what == "object" and self.server.cuts["object"] > 0 and len(body) > 1:
            self.server.cuts["object"] -= 1
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
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
            if self.server.is_google:
                raise Refused(400, "InvalidArgument")
            if not self.server.has_lock:
                raise Refused(404, "ObjectLockConfigurationNotFoundError")
            enabled = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
            self._send(200, {}, f"<ObjectLockConfiguration {XMLNS}>{enabled}</ObjectLockConfiguration>".encode())
        elif what == "retention":
            self._send(200, {"Content-Type": "application/xml"}, self._retention().encode())
        elif what == "versions":
            self._send(200, {"Content-Type": "application/xml"}, self._listing().encode())
        elif what == "list":
            self._send(200, {"Content-Type": "application/xml"}, self._keys().encode())
        elif what == "uploads":
            self._send(200, {"Content-Type": "application/xml"}, self._uploads().encode())
        elif "versionId" not in self.query:
            self._newest()
        else:
            versions = {each.id: each for each in self.server.versions.get(self.key, ())}
            version = versions.get(self.query["versionId"])
            if version is None or version.body is None:
                raise Refused(404, "NoSuchVersion")
            self._send(200, version.headers | {"x-amz-version-id": version.id}, version.body)

    def _lockable(self) -> Version:
        """The newest version of the key, which may have a lock."""
        if not self.server.has_lock:
            raise Refused(400, "InvalidRequest")
        newest = self.server.versions.get(self.key, [Version("", None)])[-1]
        if newest.body is None:
            raise Refused(405, "MethodNotAllowed") if newest.id else Refused(404, "NoSuchKey")
        return newest

    def _retention(self) -> str:
        headers = self._lockable().headers
        if LOCK_UNTIL not in headers:
            raise Refused(404, "NoSuchObjectLockConfiguration")
        until = f"<RetainUntilDate>{headers[LOCK_UNTIL]}</RetainUntilDate>"
        return f"<Retention {XMLNS}><Mode>{headers[LOCK_MODE]}</Mode>{until}</Retention>"

    def _retain(self) -> None:
        """In compliance mode a lock is lengthened and nothing else, by nobody; what is put has to be summed."""
        version, document = self._lockable(), self.body.decode()
        crc = base64.b64encode(zlib.crc32(self.body).to_bytes(4, "big")).decode()
        md5 = base64.b64encode(hashlib.md5(self.body).digest()).decode()  # noqa: S324
        sums = {"x-amz-checksum-crc32": crc, "content-md5": md5}
        given = {name: self.headers[name] for name in sums if name in self.headers}
        if not given:
            raise Refused(400, "InvalidRequest")
        if any(sums[name] != value for name, value in given.items()):
            raise Refused(400, "BadDigest")
        found = dict(re.findall(r"<(Mode|RetainUntilDate)>([^<]+)<", document))
        if found.keys() != {"Mode", "RetainUntilDate"}:
            raise Refused(400, "MalformedXML")
        until = datetime.fromisoformat(found["RetainUntilDate"])
        if until <= datetime.now(UTC):
            raise Refused(400, "InvalidArgument")
        is_held = version.headers.get(LOCK_MODE) == "COMPLIANCE" and version.locked_until > datetime.now(UTC)
        if is_held and (until < version.locked_until or found["Mode"] != "COMPLIANCE"):
            raise Refused(403, "AccessDenied")
        version.headers |= {LOCK_MODE: found["Mode"], LOCK_UNTIL: found["RetainUntilDate"]}
        self._send(200, {})

    def _newest(self) -> None:
        body = self.server.versions.get(self.key, [Version("", None)])[-1].body
        if body is None:
            raise Refused(404, "NoSuchKey")
        etag = f'"{hashlib.md5(body).hexdigest()}"'  # noqa: S324
        if self.headers.get("If-Match", etag) != etag:
            raise Refused(412, "PreconditionFailed")
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(body):
            raise Refused(416, "InvalidRange")
        rest = body[start:]
        self._send(206 if start else 200, {"ETag": etag, "Content-Length": str(len(rest))}, rest)

    def _keys(self) -> str:
        """By pages too, from the key that the token is."""
        prefix, after = self.query.get("prefix", ""), self.query.get("continuation-token", "")
        keys = sorted(key for key, all_ in self.server.versions.items() if all_[-1].body is not None)
        keys = [key for key in keys if key.startswith(prefix) and key > after]
        shown = keys[: self.server.page_size]
        more = "<IsTruncated>false</IsTruncated>"
        if len(keys) > len(shown):
            more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{shown[-1]}</NextContinuationToken>"
        rows = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in shown)
        return f"<ListBucketResult {XMLNS}>{more}{rows}</ListBucketResult>"

    def _uploads(self) -> str:
        """By key and id, by pages too."""
        prefix = self.query.get("prefix", "")
        after = self.query.get("key-marker", ""), self.query.get("upload-id-marker", "")
        found = sorted((upload.key, number) for number, upload in self.server.uploads.items())
        found = [each for each in found if each[0].startswith(prefix) and each > after]
        shown, more = found[: self.server.page_size], "<IsTruncated>false</IsTruncated>"
        if len(found) > len(shown):
            key, number = shown[-1]
            more = f"<IsTruncated>true</IsTruncated><NextKeyMarker>{escape(key)}</NextKeyMarker>"
            more += f"<NextUploadIdMarker>{number}</NextUploadIdMarker>"
        rows = "".join(
            f"<Upload><Key>{escape(key)}</Key><UploadId>{number}</UploadId></Upload>" for key, number in shown
        )
        return f"<ListMultipartUploadsResult {XMLNS}>{more}{rows}</ListMultipartUploadsResult>"

    def _upload(self) -> Upload:
        found = self.server.uploads.get(self.query.get("uploadId", ""))
        if found is None or found.key != self.key:
            raise Refused(404, "NoSuchUpload")
        return found

    def _post(self, what: str) -> None:
        if what == "uploads":
            sent = {name.lower(): value for name, value in self.headers.items()}
            lock = {name: value for name, value in sent.items() if name.startswith("x-amz-object-lock-")}
            number = f"u{len(self.server.asked)}"
            self.server.uploads[number] = Upload(self.key, lock if self.server.keeps_locks else {})
            answer = f"<InitiateMultipartUploadResult {XMLNS}><UploadId>{number}</UploadId>"
            self._send(200, {"Content-Type": "application/xml"}, f"{answer}</InitiateMultipartUploadResult>".encode())
            return
        upload, named = self._upload(), self.body.decode()
        numbers = [int(each) for each in re.findall(r"<PartNumber>(\d+)</PartNumber>", named)]
        if numbers != sorted(upload.parts) or not numbers:
            raise Refused(400, "InvalidPart")
        self.server.lay(self.key, b"".join(upload.parts[number] for number in numbers), **upload.lock)
        del self.server.uploads[self.query["uploadId"]]
        result = f"<CompleteMultipartUploadResult {XMLNS}><ETag>x</ETag></CompleteMultipartUploadResult>"
        self._send(200, {"Content-Type": "application/xml"}, result.encode())

    def _delete(self, what: str) -> None:
        if what == "upload":
            self._upload()
            del self.server.uploads[self.query["uploadId"]]
        elif self.server.is_held and self.server.versions.get(self.key):
            raise Refused(403, "RetentionPolicyNotMet")
        else:
            self.server.lay(self.key, None)
        self._send(204, {})

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

    def _put(self, what: str) -> None:
        if what == "retention":
            self._retain()
            return
        md5 = self.headers.get("Content-MD5")
        sent = {name.lower(): value for name, value in self.headers.items()}
        lock = {name: value for name, value in sent.items() if name.startswith("x-amz-object-lock-")}
        is_summed = md5 is not None or any(name.startswith("x-amz-checksum-") for name in sent)
        if lock and not (is_summed and len(lock) == 2 and self.server.has_lock):
            raise Refused(400, "InvalidRequest")
        if md5 is not None and md5 != base64.b64encode(hashlib.md5(self.body).digest()).decode():  # noqa: S324
            raise Refused(400, "BadDigest")
        if "uploadId" in self.query:
            self._upload().parts[int(self.query["partNumber"])] = self.body
            self._send(200, {"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'})  # noqa: S324
            return
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
