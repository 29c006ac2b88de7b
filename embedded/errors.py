"""What the embedded servers raise."""

from __future__ import annotations


class EmbeddedError(Exception):
    """The local servers can't do what was asked; the text is one line that says what to do about it."""


class NotRunningError(EmbeddedError):
    """A command needs the servers of ``sigilo run``, and nothing runs for this SIGILO_HOME."""


class TroubleError(Exception):
    """What a check of `sigilo doctor` found wrong, and what to do."""
