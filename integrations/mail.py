"""Mail on its way out: to the server that SMTP_URL names, or, while developing without one, into a folder.

Only over TLS with a certificate that is checked, unless the server is this machine. No retries here: what is to be
sent stands in rows, and the worker comes back to them.
"""

from __future__ import annotations

import os
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Protocol

from config import Settings
from config_urls import SmtpServer, parse_smtp_url

TIMEOUT_SECONDS = 15.0
FOLDER = "mail"


class MailUnavailable(Exception):
    """No server took the mail; it may later. The text is the kind of failure and holds no address."""


class MailRefused(Exception):
    """The server will not take this mail, now or later: the address is wrong, or the sender may not send."""


class Mailer(Protocol):
    """Sends one message to its one recipient."""

    @property
    def sender(self) -> str:
        """The address that mail comes from."""

    def send(self, message: EmailMessage, recipient: str) -> None:
        """Raises MailUnavailable, MailRefused."""


class SmtpMailer:
    """Hands mail to one SMTP server, over a connection of each message's own."""

    def __init__(
        self, server: SmtpServer, *, context: ssl.SSLContext | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        """``context`` says which certificates are trusted: the system's when not given."""
        self._server = server
        self._context = context
        self._timeout = timeout

    @property
    def sender(self) -> str:
        return self._server.sender

    def send(self, message: EmailMessage, recipient: str) -> None:
        try:
            with self._connect() as connection:
                connection.send_message(message, self.sender, [recipient])
        except smtplib.SMTPRecipientsRefused as error:
            raise _by_code(min((code for code, _ in error.recipients.values()), default=550)) from error
        except smtplib.SMTPAuthenticationError as error:
            # The operator's password, not this mail's fault: it goes once that is put right.
            raise MailUnavailable("the login was refused") from error
        except smtplib.SMTPResponseException as error:
            raise _by_code(error.smtp_code) from error
        except smtplib.SMTPNotSupportedError as error:
            raise MailUnavailable("the server lacks STARTTLS, a login, or addresses like this one") from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailUnavailable(type(error).__name__) from error

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        context = self._context or ssl.create_default_context()
        connection: smtplib.SMTP
        if server.tls == "implicit":
            connection = smtplib.SMTP_SSL(server.host, server.port, timeout=self._timeout, context=context)
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=self._timeout)
        try:
            if server.tls == "starttls":
                connection.starttls(context=context)
            if server.login is not None:
                connection.login(server.login, server.password or "")
        except BaseException:
            connection.close()
            raise
        return connection


class FileMailer:
    """Writes each message into a file that only this account may read. For development: it sends nothing."""

    def __init__(self, folder: Path, sender: str = "sigilo@localhost") -> None:
        self._folder = folder
        self._sender = sender

    @property
    def sender(self) -> str:
        return self._sender

    def send(self, message: EmailMessage, recipient: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = "".join(character if character.isalnum() or character in "@.-_" else "_" for character in recipient)
        number = message["Message-ID"].strip("<>").partition("@")[0]
        path = self._folder / f"{name}-{number}.eml"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                file.write(message.as_bytes())
        except OSError as error:
            raise MailUnavailable(type(error).__name__) from error


def make_mailer(settings: Settings) -> Mailer | None:
    """The way out that ``settings`` name; None in production without one."""
    if not settings.can_send_mail:
        return None
    url = settings.smtp_url.get_secret_value()
    return SmtpMailer(parse_smtp_url(url)) if url else FileMailer(settings.sigilo_home / FOLDER)


def compose(*, sender: str, sender_name: str, recipient: str, subject: str, text: str, message_id: str) -> EmailMessage:
    """A plain-text message. ``message_id`` is the part before the @. Raises ValueError for what is no address."""
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = f'"{sender_name.translate(UNQUOTED)}" <{sender}>'
    message["To"] = recipient
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = f"<{message_id}@{sender.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office reply, please
    message.set_content(text)
    return message


UNQUOTED = str.maketrans(dict.fromkeys('"\\\r\n', " "))


def _by_code(code: int) -> Exception:
    """RFC 5321: 4xx passes, 5xx is for good."""
    return MailRefused(f"refused with {code}") if 500 <= code < 600 else MailUnavailable(f"put off with {code}")
