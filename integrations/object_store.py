"""One bucket of S3, or of what speaks as S3 does, with the endpoint and the keys of the settings.

Only what is configured is spoken to: no proxy, profile, endpoint or key that the environment or a home folder may name,
and no redirect is followed (SECURITY 25). No retries here: rows say what is owed, and the worker comes back to them.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from config import Settings

TIMEOUT_SECONDS = 10.0  # to connect, and between two parts of an answer
WORK_SECONDS = 60.0  # for all that is asked of one bucket in one piece of work, but for the last answer
CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,59}")  # an error code of S3 is a word; anything else may say too much

# What a bucket without object lock says, and what servers say that have no such thing.
NO_LOCK = ("ObjectLockConfigurationNotFoundError", "ObjectLockConfigurationNotFound", "NotImplemented")


GOOGLE = "storage.googleapis.com"


class StoreError(Exception):
    """What failed, in short, such as "answered 403 AccessDenied": holds no address and no key.

    ``code`` is S3's word for it, empty where there was none, as in an answer to HEAD; ``status`` is HTTP's, 0 where
    there was no answer.
    """

    def __init__(self, text: str, code: str = "", status: int = 0) -> None:
        super().__init__(text)
        self.code = code
        self.status = status


class ObjectStore:
    """A bucket, for one piece of work of ``seconds`` from now on."""

    def __init__(
        self, bucket: str, settings: Settings, *, timeout: float = TIMEOUT_SECONDS, seconds: float = WORK_SECONDS
    ) -> None:
        self._bucket = bucket
        self._settings = settings
        self._timeout = timeout
        self._deadline = time.monotonic() + seconds
        self._made: Any = None

    @property
    def _is_google(self) -> bool:
        host = urlsplit(self._settings.s3_endpoint_url).hostname or ""
        return host == GOOGLE or host.endswith(f".{GOOGLE}")

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one operation, named and with parameters as boto3 has them. Raises StoreError."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        if time.monotonic() > self._deadline:
            raise StoreError("took too long")
        try:
            answer: dict[str, Any] = getattr(self._client(), operation)(Bucket=self._bucket, **parameters)
        except ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            given = str(error.response.get("Error", {}).get("Code", ""))
            code = given if CODE.fullmatch(given) else ""
            words = f"{status} {code}".strip()
            raise StoreError(f"answered {words}", code, status) from error
        except (BotoCoreError, ResponseParserError, ValueError) as error:  # the last: a number that is none
            raise StoreError(type(error).__name__) from error
        return answer

    def size(self, key: str) -> int | None:
        """Bytes of the newest version; None where there is no such object. Raises StoreError."""
        try:
            return int(self.call("head_object", Key=key)["ContentLength"])
        except StoreError as error:
            if error.status == 404:
                return None
            raise

    def has_lock(self) -> bool:
        """Whether the bucket has object lock. Asked each time, one small request: a bucket may be made anew under its
        name. Google's XML API does not know the question and answers 400 (minio/mc issue 3237, boto3 issue 3174): a
        bucket there has a retention policy of its own instead. Raises StoreError, also where the keys may not ask."""
        try:
            answer = self.call("get_object_lock_configuration")
        except StoreError as error:
            if error.code in NO_LOCK or (error.status == 400 and self._is_google):
                return False
            raise
        enabled: object = answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled")
        return enabled == "Enabled"

    def locked_until(self, key: str) -> datetime | None:
        """Until when nobody deletes the newest version; None where it has no lock. Raises StoreError."""
        try:
            answer = self.call("get_object_retention", Key=key)
        except StoreError as error:
            if error.code == "NoSuchObjectLockConfiguration":
                return None
            raise
        found: datetime | None = answer.get("Retention", {}).get("RetainUntilDate")
        return found

    def read(self, key: str, version: str, *, most: int) -> tuple[bytes, str | None]:
        """The first ``most`` bytes of one version, and the mode of its lock. Raises StoreError."""
        from botocore.exceptions import BotoCoreError

        answer = self.call("get_object", Key=key, VersionId=version)
        try:
            with answer["Body"] as body:
                return body.read(most), answer.get("ObjectLockMode")
        except BotoCoreError as error:
            raise StoreError(type(error).__name__) from error

    def body(self, key: str, start: int, etag: str | None) -> tuple[Any, str]:
        """What is there from byte ``start`` on, as a stream to close, and its ETag; with ``etag`` only when it still
        has that one. Raises StoreError."""
        parameters: dict[str, Any] = {"Range": f"bytes={start}-"} if start else {}
        if etag is not None:
            parameters["IfMatch"] = etag
        answer = self.call("get_object", Key=key, **parameters)
        return answer["Body"], str(answer.get("ETag", ""))

    def key_pages(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Pages of the keys below ``prefix``, in order. Raises StoreError."""
        parameters: dict[str, Any] = {}
        while True:
            page = self.call("list_objects_v2", Prefix=prefix, **parameters)
            yield page
            if not page.get("IsTruncated") or not page.get("NextContinuationToken"):
                return
            parameters = {"ContinuationToken": page["NextContinuationToken"]}

    def upload_pages(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Pages of the uploads below ``prefix`` that nobody completed. Raises StoreError."""
        parameters: dict[str, Any] = {}
        while True:
            page = self.call("list_multipart_uploads", Prefix=prefix, **parameters)
            yield page
            if not page.get("IsTruncated") or not page.get("NextKeyMarker"):
                return
            parameters = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page.get("NextUploadIdMarker", "")}

    def version_pages(self, prefix: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Pages of all versions below ``prefix``, by key and of each key the newest first. Raises StoreError."""
        while True:
            page = self.call("list_object_versions", Prefix=prefix, **parameters)
            yield page
            if not page.get("IsTruncated"):
                return
            markers = {"KeyMarker": page.get("NextKeyMarker"), "VersionIdMarker": page.get("NextVersionIdMarker")}
            parameters |= {name: marker for name, marker in markers.items() if marker}

    def _client(self) -> Any:
        if self._made is None:
            self._made = _open_client(self._settings, self._timeout)
        return self._made


def content_md5(body: bytes | bytearray) -> str:
    """What a bucket with object lock wants to see of whatever is put."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


@cache
def _session() -> Any:
    """What clients are made with, kept: to read S3's description takes a while. Knows no keys, reads no one's home."""
    import boto3
    from botocore.session import Session

    nothing = (None, None, os.devnull, None)
    unread = {"profile": (None, None, None, None), "config_file": nothing, "credentials_file": nothing}
    return boto3.session.Session(botocore_session=Session(session_vars=unread))


def _open_client(settings: Settings, timeout: float) -> Any:
    from botocore.config import Config

    own = settings.s3_endpoint_url or None
    client = _session().client(
        "s3",
        endpoint_url=own,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id.get_secret_value(),
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value(),
        config=Config(
            connect_timeout=timeout,
            read_timeout=timeout,
            retries={"total_max_attempts": 1},
            proxies={},
            ignore_configured_endpoint_urls=True,
            signature_version="s3v4",
            # Checksums in trailers are Amazon's alone; Content-MD5 and a signed body every server checks.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if own else "auto", "payload_signing_enabled": True},
        ),
    )
    client.meta.events.register("before-call.s3", _stay)
    return client


def _stay(context: dict[str, Any], **_: Any) -> None:
    """Have botocore take each request for one that was redirected before: it does not go after a bucket that an answer
    says is in another region."""
    context.setdefault("s3_redirect", {})["redirected"] = True
