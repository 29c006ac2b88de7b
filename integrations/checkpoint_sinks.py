"""Places outside of the database that checkpoints are handed to: a folder, a web address, a mailbox, a bucket.

A place is named by a URL in CHECKPOINT_SINKS. Only what is configured is spoken to, and no redirect is followed
(SECURITY 25). No retries here: rows say what is owed to whom, and the worker comes back to them.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import structlog

from config import Settings, parse_bucket_url
from integrations.mail import Mailer, MailRefused, MailUnavailable, compose, make_mailer
from integrations.object_store import ObjectStore, StoreError

TIMEOUT_SECONDS = 10.0
WIDTH = 15  # digits of a file's name: sorted by name is sorted by time
NUMBER = re.compile(rf"[0-9]{{{WIDTH}}}")
COMPLIANCE = "COMPLIANCE"
MOST_BYTES = 64 * 1024  # far more than a checkpoint has
NO_LOCK = "the bucket has no object lock: name one that was made with it"
ANOTHER = "has another checkpoint of the same event"
MAIL_EVERY = timedelta(hours=24)
SUBJECT = "Sigilo: checkpoint of the audit trail, event {sequence}"
TEXT = """\
The attached file is a signed checkpoint of the audit trail of {origin}, up to event {sequence}.
Keep it: with it, and with the key that `sigilo audit key` prints, the command
`sigilo audit verify --checkpoint FILE` shows later whether anything before it was changed.
"""

log = structlog.get_logger()


class SinkUnavailable(Exception):
    """The checkpoint was not kept there; it may be later. The text is the kind of failure and holds no address."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint on its way out: its note, and what is in it."""

    note: str
    origin: str
    sequence: int


class Sink(Protocol):
    """One place. ``every``: how long after one checkpoint the next is wanted at the soonest."""

    @property
    def every(self) -> timedelta: ...

    def keep(self, checkpoint: Kept) -> None:
        """Hand it over. Once more is no harm. Raises SinkUnavailable."""


def _file_of(checkpoint: Kept) -> str:
    """Its path below a folder or a prefix: a folder for each trail, in it a name for each event."""
    folder = "".join(sign if sign.isalnum() or sign in ".-" else "_" for sign in checkpoint.origin)
    return f"{folder}/{checkpoint.sequence:0{WIDTH}}.checkpoint"


class FolderSink:
    """A file for each checkpoint, never overwritten: a mount that another machine serves, or write-once storage."""

    every = timedelta(0)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest(self) -> str | None:
        """The note of the newest checkpoint that is there, of whatever trail; None where there is none to read."""
        try:
            files = sorted(self._folder.glob("*/*.checkpoint"), key=lambda each: each.name)
            return files[-1].read_text(encoding="utf-8", errors="replace") if files else None
        except OSError:
            return None

    def read(self, origin: str, sequence: int) -> str | None:
        """The note of that name; None where there is none to read."""
        try:
            path = self._folder / _file_of(Kept("", origin, sequence))
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def keep(self, checkpoint: Kept) -> None:
        final = self._folder / _file_of(checkpoint)
        partial = final.with_suffix(".partial")
        try:
            if final.exists():
                if final.read_text(encoding="utf-8") != checkpoint.note:
                    # One head is signed in one way: this is another trail, or another key.
                    raise SinkUnavailable(ANOTHER)
                return
            final.parent.mkdir(parents=True, exist_ok=True)
            partial.unlink(missing_ok=True)
            with partial.open("x", encoding="utf-8") as file:
                file.write(checkpoint.note)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(final)
        except OSError as error:
            raise SinkUnavailable(type(error).__name__) from error


class WebhookSink:
    """POST of the note as text/plain; any 2xx means that it is kept. Asks once more, so it may come twice."""

    every = timedelta(0)

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._url = url
        self._timeout = timeout

    def keep(self, checkpoint: Kept) -> None:
        request = urllib.request.Request(  # noqa: S310  (http or https: config.check_sink_url)
            self._url, checkpoint.note.encode(), {"Content-Type": "text/plain; charset=utf-8"}, method="POST"
        )
        try:
            with _OPENER.open(request, timeout=self._timeout):
                return
        except urllib.error.HTTPError as error:
            raise SinkUnavailable(f"answered {error.code}") from error
        except (OSError, http.client.HTTPException) as error:
            raise SinkUnavailable(type(error).__name__) from error


class MailSink:
    """The newest checkpoint once a day, to somebody who keeps their mail elsewhere."""

    every = MAIL_EVERY

    def __init__(self, mailer: Mailer | None, recipient: str, sender_name: str) -> None:
        self._mailer = mailer
        self._recipient = recipient
        self._sender_name = sender_name

    def keep(self, checkpoint: Kept) -> None:
        if self._mailer is None:
            raise SinkUnavailable("SMTP_URL or PUBLIC_URL is not set")
        values = {"origin": checkpoint.origin, "sequence": checkpoint.sequence}
        try:
            message = compose(
                sender=self._mailer.sender, sender_name=self._sender_name, recipient=self._recipient,
                subject=SUBJECT.format(**values), text=TEXT.format(**values),
                message_id=f"checkpoint.{checkpoint.sequence}",
            )  # fmt: skip
            message.add_attachment(
                checkpoint.note.encode(), maintype="application", subtype="octet-stream",
                filename=f"{checkpoint.sequence}.checkpoint",
            )  # fmt: skip
            self._mailer.send(message, self._recipient)
        except (MailRefused, MailUnavailable, ValueError) as error:
            raise SinkUnavailable(type(error).__name__) from error


class BucketSink:
    """An object for each checkpoint, in a bucket with object lock (mode COMPLIANCE): until its time nobody deletes or
    changes it, whoever holds the keys. They can lay a newer version or a mark of deletion over it, so what counts of a
    name is the version that was there first."""

    every = timedelta(0)

    def __init__(self, url: str, settings: Settings, *, timeout: float = TIMEOUT_SECONDS) -> None:
        bucket, self._prefix = parse_bucket_url(url)
        self._store = ObjectStore(bucket, settings, timeout=timeout)
        self._retention = timedelta(days=settings.checkpoint_retention_days)

    def newest(self) -> str | None:
        """The note of the newest checkpoint that is there, of whatever trail; None where there is none to read."""
        try:
            pages = self._store.version_pages(self._prefix, Delimiter="/")
            folders = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ())]
            found = {folder: self._highest(folder) for folder in folders}
            if max(found.values(), default=-1) < 0:
                return None
            folder = max(found, key=lambda each: found[each])
            first = self._first(f"{folder}{found[folder]:0{WIDTH}}.checkpoint")
        except StoreError as error:
            log.warning("checkpoints in a bucket cannot be read", error=str(error))
            return None
        return None if first is None else first[0].decode(errors="replace")

    def read(self, origin: str, sequence: int) -> str | None:
        """The note that was kept first under that name; None where there is none to read."""
        try:
            first = self._first(self._prefix + _file_of(Kept("", origin, sequence)))
        except StoreError as error:
            log.warning("checkpoints in a bucket cannot be read", error=str(error))
            return None
        return None if first is None else first[0].decode(errors="replace")

    def keep(self, checkpoint: Kept) -> None:
        key = self._prefix + _file_of(checkpoint)
        note = checkpoint.note.encode()
        try:
            self._require_lock()
            first = self._first(key)
            if first is None:
                self._put(key, note)
                first = self._first(key)
        except StoreError as error:
            raise SinkUnavailable(str(error)) from error
        if first is None:
            raise SinkUnavailable("took it and does not have it")
        if first[0] != note:
            raise SinkUnavailable(ANOTHER)
        if first[1] != COMPLIANCE:
            raise SinkUnavailable("has it without a lock")

    def _require_lock(self) -> None:
        """Asked each time, one small request: a bucket may be made anew under its name."""
        try:
            answer = self._store.call("get_object_lock_configuration")
        except StoreError as error:
            if error.code == "ObjectLockConfigurationNotFoundError":
                raise StoreError(NO_LOCK) from error
            raise
        if answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
            raise StoreError(NO_LOCK)

    def _put(self, key: str, note: bytes) -> None:
        wanted: dict[str, Any] = {
            "Key": key, "Body": note, "ContentType": "text/plain; charset=utf-8",
            "ContentMD5": base64.b64encode(hashlib.md5(note, usedforsecurity=False).digest()).decode(),
            "ObjectLockMode": COMPLIANCE, "ObjectLockRetainUntilDate": datetime.now(UTC) + self._retention,
        }  # fmt: skip
        try:
            self._store.call("put_object", **wanted, IfNoneMatch="*")
        except StoreError as error:
            if error.code == "NotImplemented":  # a server without conditions: a second version changes no first one
                self._store.call("put_object", **wanted)
            elif error.code != "PreconditionFailed":  # somebody was quicker: what is there first is looked at
                raise

    def _first(self, key: str) -> tuple[bytes, str | None] | None:
        """Content and mode of the lock of the first version of ``key``, also below a mark of deletion."""
        versions = [
            version["VersionId"]
            for page in self._store.version_pages(key)
            for version in page.get("Versions", ())
            if version["Key"] == key
        ]
        return self._store.read(key, versions[-1], most=MOST_BYTES) if versions else None

    def _highest(self, folder: str) -> int:
        """The highest number of a checkpoint in ``folder``, -1 without any. Keys are listed in one direction only, so
        the last is looked for by halves: fifty pages at most, where a year of checkpoints may be five hundred."""
        lowest, above, probe = -1, 10**WIDTH, 0
        while lowest + 1 < above:
            # A marker that is no key but begins one: whether a server takes it in or leaves it out is the same.
            marker = {"KeyMarker": f"{folder}{probe:0{WIDTH}}"} if probe else {}
            page = self._store.call("list_object_versions", Prefix=folder, **marker)
            highest = max(_numbers(page, folder), default=-1)
            if highest < probe:
                above = probe
            else:
                lowest = highest
                if not page.get("IsTruncated"):
                    break
            probe = (lowest + above + 1) // 2
        return lowest


def _numbers(page: dict[str, Any], folder: str) -> Iterator[int]:
    """Numbers of what lies in ``folder``, on one page, also where a mark of deletion lies over it."""
    for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
        number = NUMBER.match(version["Key"].removeprefix(folder))
        if number:
            yield int(number[0])


def make_sink(url: str, settings: Settings) -> Sink:
    """What ``url`` (of CHECKPOINT_SINKS, so a good one) names."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderSink(Path(unquote(parts.path)))
    if parts.scheme == "mailto":
        return MailSink(make_mailer(settings), unquote(parts.path), settings.clinic_name)
    if parts.scheme == "s3":
        return BucketSink(url, settings)
    return WebhookSink(url)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Refuse: the answer stays the redirect, which is no 2xx."""
        return


# Without proxies that the environment may name, and without redirects.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
