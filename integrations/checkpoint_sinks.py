"""Places outside of the database that checkpoints are handed to: a folder, a web address, a mailbox, a bucket.

A place is named by a URL in CHECKPOINT_SINKS. Only what is configured is spoken to, and no redirect is followed
(SECURITY 25). No retries here: rows say what is owed to whom, and the worker comes back to them.
"""

from __future__ import annotations

import heapq
import http.client
import os
import re
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import structlog

from config import Settings
from config_urls import parse_bucket_url
from integrations.mail import Mailer, MailRefused, MailUnavailable, compose, make_mailer
from integrations.object_store import ObjectStore, StoreError, content_md5
from integrations.plain_http import make_opener

TIMEOUT_SECONDS = 10.0
WIDTH = 15  # digits of a file's name: sorted by name is sorted by time
NUMBER = re.compile(rf"[0-9]{{{WIDTH}}}")
ENDING = ".checkpoint"
DRAWN = 3  # out of each page of a bucket
BATCH, BATCH_OF_ALL = 1_000, 20_000  # names held at a time
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


# The number and the note of what lies in one folder, the highest first. Whoever can put something there chooses both.
Numbered = Iterator[tuple[int, str]]


class Sink(Protocol):
    """One place. ``every``: how long after one checkpoint the next is wanted at the soonest."""

    @property
    def every(self) -> timedelta: ...

    def keep(self, checkpoint: Kept) -> None:
        """Hand it over. Once more is no harm. Raises SinkUnavailable."""


def _file_of(checkpoint: Kept) -> str:
    """Its path below a folder or a prefix: a folder for each trail, in it a name for each event."""
    return f"{_folder_of(checkpoint.origin)}/{_name_of(checkpoint.sequence)}"


def _folder_of(origin: str) -> str:
    return "".join(sign if sign.isalnum() or sign in ".-" else "_" for sign in origin)


def _name_of(sequence: int) -> str:
    return f"{sequence:0{WIDTH}}{ENDING}"


def highest_first(folder: Path) -> Iterator[int]:
    """The numbers of the checkpoints in ``folder``, from the highest down, however many there are: a few are held at a
    time. Raises OSError."""
    below = 10**WIDTH
    while batch := heapq.nlargest(BATCH, (number for number in _listed(folder) if number < below)):
        yield from batch
        below = batch[-1]


def lowest_first(folder: Path) -> Iterator[int]:
    """The same from the lowest up, for all of them: more are held at a time, so that a folder is listed a few times."""
    above = -1
    while batch := heapq.nsmallest(BATCH_OF_ALL, (number for number in _listed(folder) if number > above)):
        yield from batch
        above = batch[-1]


def path_of(folder: Path, number: int) -> Path:
    return folder / _name_of(number)


def has_number(name: str) -> bool:
    """Whether a file of that name is one that ``lowest_first`` finds."""
    return name.endswith(ENDING) and NUMBER.fullmatch(name.removesuffix(ENDING)) is not None


def read_note(path: Path) -> str:
    """What is in it, up to more than a checkpoint has; of what can't be read nothing, so that it hides nothing."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(MOST_BYTES)
    except OSError:
        return ""


def _listed(folder: Path) -> Iterator[int]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if has_number(entry.name):
                yield int(entry.name.removesuffix(ENDING))


class FolderSink:
    """A file for each checkpoint, never overwritten: a mount that another machine serves, or write-once storage."""

    every = timedelta(0)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folders(self, origin: str) -> Iterator[Numbered]:
        """What lies in the folder of ``origin``, and then in each of the others. What can't be read is left out."""
        own = _folder_of(origin)
        with suppress(OSError):
            for name in (own, *(each.name for each in self.paths() if each.name != own)):
                yield self._numbered(name)

    def paths(self) -> list[Path]:
        """Where there may be checkpoints: of this trail, whatever it was called, and of others."""
        with suppress(OSError):
            return sorted(each for each in self._folder.iterdir() if each.is_dir())
        return []

    def _numbered(self, folder: str) -> Numbered:
        with suppress(OSError):
            for number in highest_first(self._folder / folder):
                yield number, read_note(path_of(self._folder / folder, number))

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

    def folders(self, origin: str) -> Iterator[Numbered]:
        """As of a folder. Each answer costs up to fifty questions."""
        own = f"{self._prefix}{_folder_of(origin)}/"
        yield self._numbered(own)
        try:
            pages = self._store.version_pages(self._prefix, Delimiter="/")
            others = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ())]
        except StoreError as error:
            log.warning("checkpoints in a bucket cannot be read", error=str(error))
            return
        for folder in others:
            if folder != own:
                yield self._numbered(folder)

    def sample(self, origin: str) -> Iterator[str]:
        """The notes of a few checkpoints of ``origin`` out of each page of a thousand, drawn by lot: all would cost two
        questions each, and nobody can know which are asked for."""
        own = f"{self._prefix}{_folder_of(origin)}/"
        try:
            for page in self._store.version_pages(own):
                numbers = sorted(set(_numbers(page, own)))
                for number in _LOT.sample(numbers, min(len(numbers), DRAWN)):
                    first = self._first(own + _name_of(number))
                    if first is not None:
                        yield first[0].decode(errors="replace")
        except StoreError as error:
            log.warning("checkpoints in a bucket cannot be read", error=str(error))

    def _numbered(self, folder: str) -> Numbered:
        below = 10**WIDTH
        try:
            while (below := self._highest(folder, below)) >= 0:
                first = self._first(folder + _name_of(below))
                if first is not None:
                    yield below, first[0].decode(errors="replace")
        except StoreError as error:
            log.warning("checkpoints in a bucket cannot be read", error=str(error))

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
            if not self._store.has_lock():
                raise SinkUnavailable(NO_LOCK)
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

    def _put(self, key: str, note: bytes) -> None:
        wanted: dict[str, Any] = {
            "Key": key, "Body": note, "ContentType": "text/plain; charset=utf-8",
            "ContentMD5": content_md5(note),
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

    def _highest(self, folder: str, below: int) -> int:
        """The highest number under ``below`` of a checkpoint in ``folder``, -1 without any. Keys are listed in one
        direction only, so the last is looked for by halves: fifty pages at most, where a year of checkpoints may be
        five hundred."""
        lowest, above, probe = -1, below, 0
        while lowest + 1 < above:
            numbers, is_whole = self._from(folder, probe)
            highest = max((number for number in numbers if number < below), default=-1)
            if highest < probe:
                above = probe
            else:
                lowest = highest
                if is_whole or max(numbers) >= below:
                    break
            probe = (lowest + above + 1) // 2
        return lowest

    def _from(self, folder: str, number: int) -> tuple[list[int], bool]:
        """The first numbers from ``number`` on, over pages where others lie before them, and whether that is all."""
        # A marker that is no key but begins one: whether a server takes it in or leaves it out is the same.
        for page in self._store.version_pages(folder, KeyMarker=f"{folder}{number:0{WIDTH}}"):
            numbers = list(_numbers(page, folder))
            if numbers:
                return numbers, not page.get("IsTruncated")
        return [], True


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


_OPENER = make_opener()
_LOT = secrets.SystemRandom()
