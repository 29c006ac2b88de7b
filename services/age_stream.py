"""Encrypt to, and decrypt from, an age file (age-encryption.org/v1) as a stream: nothing lies on a disk in the clear.

The library takes a reader and a writer and works through them, so it runs in a thread of its own behind a pipe.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import pyrage

from services.errors import Invalid


def recipient_of(text: str) -> pyrage.x25519.Recipient:
    """Whom to encrypt to: ``age1…``. Raises Invalid."""
    try:
        return pyrage.x25519.Recipient.from_str(text.strip())
    except pyrage.RecipientError:
        raise Invalid("An age recipient is written age1…, as age-keygen prints it.") from None


def identities_of(text: str) -> list[pyrage.x25519.Identity]:
    """The private keys in a file as age-keygen writes it. Raises Invalid."""
    lines = [line for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-")]
    try:
        found = [pyrage.x25519.Identity.from_str(line.strip()) for line in lines]
    except pyrage.IdentityError:
        found = []
    if not found:
        raise Invalid("An age identity has a line that begins with AGE-SECRET-KEY-1.")
    return found


@contextmanager
def encrypted(target: IO[bytes], *recipients: str) -> Iterator[IO[bytes]]:
    """What is written within the block arrives in ``target`` encrypted to each of ``recipients``. Raises Invalid, and
    what ``target`` raises."""
    to = [recipient_of(each) for each in recipients]
    read_end, write_end = os.pipe()

    def work() -> None:
        with open(read_end, "rb") as source:
            pyrage.encrypt_io(source, target, to)

    with _in_a_thread(work), open(write_end, "wb") as plain:
        yield plain


@contextmanager
def decrypted(source: IO[bytes], identity: str) -> Iterator[IO[bytes]]:
    """The plain text of ``source``; ``identity`` holds lines AGE-SECRET-KEY-1…, any of which may open it. Raises
    Invalid, and what ``source`` raises that is no OSError."""
    openers = identities_of(identity)
    read_end, write_end = os.pipe()

    def work() -> None:
        with suppress(BrokenPipeError), open(write_end, "wb") as target:  # whoever reads has read enough
            pyrage.decrypt_io(source, target, openers)

    try:
        with _in_a_thread(work), open(read_end, "rb") as plain:
            yield plain
    except (pyrage.DecryptError, OSError) as error:
        raise Invalid("The file can't be decrypted with this identity, or is damaged.") from error


@contextmanager
def _in_a_thread(work: Callable[[], Any]) -> Iterator[None]:
    """Runs ``work`` beside the block, and waits for it. What it raised comes first: what the block raised then is that
    its pipe broke."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  (raised again where the block ends)
            failed.append(error)

    thread = threading.Thread(target=run, name="age")
    thread.start()
    try:
        yield
    finally:
        thread.join()
        if failed:
            raise failed[0]
