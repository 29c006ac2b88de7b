"""Mail over real SMTP on loopback, in the clear and over TLS, and into files; and what SMTP_URL may say."""

from __future__ import annotations

import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from pydantic import SecretStr

from config import ConfigurationError, Principal, Settings
from config_urls import SmtpServer, parse_smtp_url
from integrations.mail import FileMailer, MailRefused, MailUnavailable, SmtpMailer, compose, make_mailer
from tests.conftest import make_settings
from tests.factories.certificate import make_certificate

RECIPIENT = "marina@example.org"


class Inbox:
    """What the server was given; ``answers``: e-mail address → the server's refusal of it."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.answers: dict[str, str] = {}

    async def handle_RCPT(self, _s: SMTP, _n: Any, envelope: Envelope, address: str, _o: Any) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _s: SMTP, _n: Any, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return "250 OK"


@contextmanager
def smtp(inbox: Inbox, **options: Any) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    controller = Controller(inbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_text("".join(make_certificate()))
    return path


def message(recipient: str = RECIPIENT) -> EmailMessage:
    return compose(
        sender="sigilo@example.org", sender_name='Clínica "Sé"\r\nBcc: x@example.org', recipient=recipient,
        subject="Seu acesso ao prontuário", text="Olá, Marina.\n\nhttps://sigilo.example.org/x\n", message_id="1",
    )  # fmt: skip


def mailer(port: int, tls: Any = "none", **options: Any) -> SmtpMailer:
    login, password = options.pop("login", None), options.pop("password", None)
    server = SmtpServer("127.0.0.1", port, tls, login, password, "sigilo@example.org")
    return SmtpMailer(server, timeout=5, **options)


def test_a_message_arrives_whole_for_its_one_recipient() -> None:
    inbox = Inbox()
    with smtp(inbox) as port:
        mailer(port).send(message(), RECIPIENT)
    envelope = inbox.envelopes[0]
    assert (envelope.mail_from, envelope.rcpt_tos) == ("sigilo@example.org", [RECIPIENT])
    assert isinstance(envelope.content, bytes)
    received = message_from_bytes(envelope.content)
    assert received["Bcc"] is None
    assert received["Auto-Submitted"] == "auto-generated"
    body = received.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.decode().startswith("Olá, Marina.")


def test_security_25_starttls_and_a_login_over_a_checked_certificate(certificate: Path) -> None:
    inbox, seen = Inbox(), list[Any]()

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        seen.append(data)
        return AuthResult(success=data.password == b"right", handled=False)

    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate)
    trusted = ssl.create_default_context(cafile=str(certificate))
    options = {"tls_context": served, "require_starttls": True, "authenticator": authenticate, "auth_required": True}
    with smtp(inbox, **options) as port:
        mailer(port, "starttls", context=trusted, login="sigilo", password="right").send(message(), RECIPIENT)
        assert len(inbox.envelopes) == 1
        with pytest.raises(MailUnavailable, match="login"):
            mailer(port, "starttls", context=trusted, login="sigilo", password="wrong").send(message(), RECIPIENT)
        before = len(seen)
        with pytest.raises(MailUnavailable, match="SSLCertVerificationError"):
            mailer(port, "starttls", login="sigilo", password="right").send(message(), RECIPIENT)
        assert len(seen) == before, "no password to a server that nobody vouches for"
    with smtp(inbox) as port, pytest.raises(MailUnavailable):
        mailer(port, "starttls", context=trusted).send(message(), RECIPIENT)
    assert len(inbox.envelopes) == 1, "nothing in the clear where TLS is wanted"


@pytest.mark.parametrize(("answer", "kind"), [("550 no such user", MailRefused), ("451 later", MailUnavailable)])
def test_a_refusal_is_for_good_or_for_now(answer: str, kind: type[Exception]) -> None:
    inbox = Inbox()
    inbox.answers[RECIPIENT] = answer
    with smtp(inbox) as port, pytest.raises(kind):
        mailer(port).send(message(), RECIPIENT)


def test_a_server_that_is_away_or_silent_costs_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        server = SmtpServer("127.0.0.1", port, "none", None, None, "a@b.example")
        with pytest.raises(MailUnavailable):
            SmtpMailer(server, timeout=0.2).send(message(), RECIPIENT)
    with pytest.raises(MailUnavailable):
        SmtpMailer(server, timeout=0.2).send(message(), RECIPIENT)


def test_files_are_for_their_owners_eyes(tmp_path: Path) -> None:
    FileMailer(tmp_path / "mail").send(message(), "../../etc/x@example.org")
    (written,) = (tmp_path / "mail").iterdir()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert stat.S_IMODE(written.parent.stat().st_mode) == 0o700
    assert message_from_bytes(written.read_bytes())["To"] == RECIPIENT


def test_what_is_no_address_is_no_header() -> None:
    with pytest.raises(ValueError, match="linefeed"):
        message("a@example.org\r\nBcc: b@example.org")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "smtp://a%40b:p%2Fw@mail.example:25?from=c@d.example",
            ("mail.example", 25, "starttls", "a@b", "p/w", "c@d.example"),
        ),
        ("smtps://c@mail.example?from=c@d.example", ("mail.example", 465, "implicit", "c", None, "c@d.example")),
        ("smtp://c%40d.example:x@mail.example", ("mail.example", 587, "starttls", "c@d.example", "x", "c@d.example")),
        ("smtp://127.0.0.1:25?tls=none&from=c@d.example", ("127.0.0.1", 25, "none", None, None, "c@d.example")),
    ],
)
def test_what_smtp_url_says(url: str, expected: tuple[Any, ...]) -> None:
    server = parse_smtp_url(url)
    assert (server.host, server.port, server.tls, server.login, server.password, server.sender) == expected
    assert "p/w" not in repr(server)


@pytest.mark.parametrize(
    "url",
    ["smtp://", "http://mail.example?from=c@d.example", "smtp://mail.example", "smtp://mail.example:x?from=c@d.example",
     "smtp://mail.example?from=no-address", "smtp://mail.example?tls=none&from=c@d.example"],
)  # fmt: skip
def test_a_wrong_smtp_url_stops_the_start_without_being_quoted(
    url: str, settings: Settings, redis_url: str, home: Path
) -> None:
    urls = {principal.value: "postgresql://x" for principal in Principal}
    with pytest.raises(ConfigurationError) as caught:
        make_settings(urls, redis_url, home, smtp_url=url)
    assert "SMTP_URL" in str(caught.value)
    assert "mail.example" not in str(caught.value)


def test_production_without_mail_has_no_mailer(settings: Settings) -> None:
    def changed(**values: Any) -> Settings:
        return settings.model_copy(update=values)

    assert isinstance(make_mailer(settings), FileMailer)
    url = SecretStr("smtp://mail.example?from=c@d.example")
    assert make_mailer(changed(sigilo_env="production")) is None
    assert make_mailer(changed(sigilo_env="production", smtp_url=url, public_url="")) is None
    assert isinstance(make_mailer(changed(sigilo_env="production", smtp_url=url, public_url="https://x")), SmtpMailer)
