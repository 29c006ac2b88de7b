"""Places outside of the database that checkpoints are handed to: a folder, a web address, a mailbox.

A place is named by a URL in CHECKPOINT_SINKS. Only what is configured is spoken to, and no redirect is followed
(SECURITY 25). No retries here: rows say what is owed to whom, and the worker comes back to them.
"""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from integrations.mail import Mailer, MailRefused, MailUnavailable, compose

TIMEOUT_SECONDS = 10.0
WIDTH = 15  # digits of a file's name: sorted by name is sorted by time
MAIL_EVERY = timedelta(hours=24)
SUBJECT = "Sigilo: checkpoint of the audit trail, event {sequence}"
TEXT = """\
The attached file is a signed checkpoint of the audit trail of {origin}, up to event {sequence}.
Keep it: with it, and with the key that `sigilo audit key` prints, the command
`sigilo audit verify --checkpoint FILE` shows later whether anything before it was changed.
"""


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

    def keep(self, checkpoint: Kept) -> None:
        name = "".join(sign if sign.isalnum() or sign in ".-" else "_" for sign in checkpoint.origin)
        final = self._folder / name / f"{checkpoint.sequence:0{WIDTH}}.checkpoint"
        partial = final.with_suffix(".partial")
        try:
            if final.exists():
                if final.read_text(encoding="utf-8") != checkpoint.note:
                    # One head is signed in one way: this is another trail, or another key.
                    raise SinkUnavailable("has another checkpoint of the same event")
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


def make_sink(url: str, *, mailer: Mailer | None, sender_name: str) -> Sink:
    """What ``url`` (of CHECKPOINT_SINKS, so a good one) names."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderSink(Path(unquote(parts.path)))
    if parts.scheme == "mailto":
        return MailSink(mailer, unquote(parts.path), sender_name)
    return WebhookSink(url)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Refuse: the answer stays the redirect, which is no 2xx."""
        return


# Without proxies that the environment may name, and without redirects.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
