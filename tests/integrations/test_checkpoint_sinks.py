"""Checkpoints leave for a folder, a web address and a mailbox; what a place does not take is owed to it still."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import pytest
from pydantic import SecretStr

from config import ConfigurationError, Principal
from config_urls import SmtpServer
from integrations import checkpoint_sinks
from integrations.checkpoint_sinks import (
    BucketSink,
    FolderSink,
    Kept,
    MailSink,
    SinkUnavailable,
    WebhookSink,
    make_sink,
)
from integrations.mail import SmtpMailer
from tests.conftest import make_settings
from tests.http_server import serving
from tests.integrations.test_mail import RECIPIENT, Inbox, smtp

NOTE = "clinic.example.org/audit-chain\n7\naaaa\n\n\u2014 clinic.example.org/audit-chain bbbb\n"
CHECKPOINT = Kept(NOTE, "clinic.example.org/audit-chain", 7)


def newest(sink: FolderSink | BucketSink) -> str | None:
    """The note of the highest number, of whatever folder."""
    highest = [found for folder in sink.folders(CHECKPOINT.origin) for found in islice(folder, 1)]
    return max(highest)[1] if highest else None


class Witness(BaseHTTPRequestHandler):
    """Answers a POST by its path: /<status>; /hang waits until the server is closed."""

    server: WitnessServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, self.headers["Content-Type"], body.decode()))
        if self.path == "/hang":
            self.server.closing.wait(30)
            return
        self.send_response(int(self.path[1:]))
        self.send_header("Location", "/204")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.taken.append((self.path, "", "GET"))

    def log_message(self, format: str, *args: object) -> None:
        pass


class WitnessServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Witness)
        self.taken: list[tuple[str, str, str]] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def witness() -> Iterator[WitnessServer]:
    made = WitnessServer()
    with serving(made, made.closing):
        yield made


def test_a_folder_gets_a_file_for_each_and_keeps_what_it_has(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path / "kept")
    sink.keep(CHECKPOINT)
    [file] = (tmp_path / "kept").rglob("*.checkpoint")
    assert file.name == "000000000000007.checkpoint" and file.read_text(encoding="utf-8") == NOTE
    sink.keep(CHECKPOINT)
    with pytest.raises(SinkUnavailable, match="another checkpoint of the same event"):
        sink.keep(Kept("another trail", CHECKPOINT.origin, 7))
    assert file.read_text(encoding="utf-8") == NOTE == newest(sink)
    sink.keep(Kept(NOTE, CHECKPOINT.origin, 1_000_000))
    assert newest(sink) == NOTE and newest(FolderSink(tmp_path / "nowhere")) is None
    assert [each.name for each in sorted(file.parent.iterdir())] == [file.name, "000000001000000.checkpoint"]


def test_the_folder_of_the_trail_comes_first_and_in_each_the_highest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over more names than are held at a time; what is no checkpoint's name is none, what can't be read hides none."""
    monkeypatch.setattr(checkpoint_sinks, "BATCH", 3)
    sink = FolderSink(tmp_path)
    for sequence in (5, 12, 3, 1000, 70, 8, 999):
        sink.keep(Kept(f"own {sequence}", CHECKPOINT.origin, sequence))
    sink.keep(Kept("others", "another.example.org/audit-chain", 5000))
    own = tmp_path / "clinic.example.org_audit-chain"
    for name in ("zzz.checkpoint", "9.checkpoint", f"{'9' * 16}.checkpoint", f"{'9' * 15}.partial"):
        (own / name).write_text("no checkpoint's name")
    (own / f"{'9' * 15}.checkpoint").mkdir()
    first, *others = [list(folder) for folder in sink.folders(CHECKPOINT.origin)]
    assert first == [(10**15 - 1, ""), *((each, f"own {each}") for each in (1000, 999, 70, 12, 8, 5, 3))]
    assert others == [[(5000, "others")]]


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    with pytest.raises(SinkUnavailable, match="Error"):
        FolderSink(tmp_path / "kept").keep(CHECKPOINT)


@pytest.mark.parametrize("status", [200, 204])
def test_a_web_address_that_takes_it_gets_the_note(status: int) -> None:
    with witness() as server:
        WebhookSink(f"{server.url}/{status}").keep(CHECKPOINT)
        assert server.taken == [(f"/{status}", "text/plain; charset=utf-8", NOTE)]


@pytest.mark.parametrize("path", ["302", "307", "404", "500", "503"])
def test_security_25_any_other_answer_is_a_failure_and_no_redirect_is_followed(path: str) -> None:
    with witness() as server:
        with pytest.raises(SinkUnavailable, match=path):
            WebhookSink(f"{server.url}/{path}").keep(CHECKPOINT)
        assert [taken[0] for taken in server.taken] == [f"/{path}"]


def test_a_web_address_that_hangs_or_is_not_there_costs_little() -> None:
    with witness() as server:
        with pytest.raises(SinkUnavailable):
            WebhookSink(f"{server.url}/hang", timeout=0.2).keep(CHECKPOINT)
        url = server.url
    with pytest.raises(SinkUnavailable):
        WebhookSink(f"{url}/204").keep(CHECKPOINT)


def test_a_mailbox_gets_the_note_and_how_to_use_it() -> None:
    inbox = Inbox()
    with smtp(inbox) as port:
        mailer = SmtpMailer(SmtpServer("127.0.0.1", port, "none", None, None, "sigilo@example.org"))
        MailSink(mailer, RECIPIENT, "Clínica").keep(CHECKPOINT)
    [envelope] = inbox.envelopes
    assert envelope.rcpt_tos == [RECIPIENT] and isinstance(envelope.content, bytes)
    message = message_from_bytes(envelope.content, policy=policy.default)
    [attached] = message.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("7.checkpoint", NOTE.encode())
    with pytest.raises(SinkUnavailable):
        MailSink(mailer, RECIPIENT, "Clínica").keep(CHECKPOINT)
    with pytest.raises(SinkUnavailable, match="SMTP_URL"):
        MailSink(None, RECIPIENT, "Clínica").keep(CHECKPOINT)


def test_checkpoint_sinks_are_checked_at_the_start(redis_url: str, tmp_path: Path) -> None:
    urls = {principal.value: "postgresql://x@127.0.0.1:1/x" for principal in Principal}
    good = make_settings(urls, redis_url, tmp_path, checkpoint_sinks="file:///mnt/kept, https://w.example.org/in?k=1")
    assert [each.get_secret_value() for each in good.checkpoint_sinks] == [
        "file:///mnt/kept", "https://w.example.org/in?k=1",
    ]  # fmt: skip
    assert isinstance(good.checkpoint_sinks[1], SecretStr) and "k=1" not in repr(good)
    kinds = {"file:///mnt": FolderSink, "https://x.example": WebhookSink, "mailto:a@b.example": MailSink}
    for url, kind in kinds.items():
        assert isinstance(make_sink(url, good), kind)
    for bad in ("ftp://x.example/", "file://host/folder", "http://w.example.org/in", "mailto:nobody", "folder"):
        with pytest.raises(ConfigurationError, match="CHECKPOINT_SINKS"):
            make_settings(urls, redis_url, tmp_path, checkpoint_sinks=bad)
