"""Who serves: one file in a folder, whose name says it. The proxy looks for it at every request (deploy/caddy), so that
renaming it is all there is to a switch, and nothing can stand half-way between a file and a proxy that has not read it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COLOURS = ("blue", "green")
LOCK = ".lock"
CONTENT = "The name of this file says who serves, and deploy/switch renames it. Never make a second one.\n"


class SwitchError(Exception):
    """What is wrong, and what to do."""


def other(colour: str) -> str:
    return COLOURS[1 - COLOURS.index(colour)]


@dataclass(frozen=True)
class Serving:
    """``first`` serves; the other one too, where ``first`` does not answer, as long as ``has_second``."""

    first: str
    has_second: bool = False

    @property
    def name(self) -> str:
        return f"{self.first}-then-{other(self.first)}" if self.has_second else self.first


ALL = {each.name: each for colour in COLOURS for each in (Serving(colour), Serving(colour, has_second=True))}


class StateFolder:
    """The folder that the proxy knows as SIGILO_STATE."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Serving | None:
        """None before the first release. Raises SwitchError when two files contradict each other."""
        found = [name for name in ALL if (self.path / name).exists()]
        if len(found) > 1:
            raise SwitchError(f"{self.path} has {' and '.join(found)}: remove the one that does not serve")
        return ALL[found[0]] if found else None

    def write(self, serving: Serving) -> None:
        """In one step for whoever looks, and kept over a power cut."""
        now = self.read()
        if now is None:
            partial = self.path / ".partial"
            partial.write_text(CONTENT)
            partial.chmod(0o644)  # the proxy may run as somebody else
            partial.replace(self.path / serving.name)
        else:
            (self.path / now.name).rename(self.path / serving.name)
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Only one switch at a time. Gives the descriptor that holds the lock, for commands to hold it too: what a
        killed switch has begun still goes on. Raises SwitchError while another one is at it."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o755)  # the proxy may run as somebody else
        held = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SwitchError("another switch is under way, or what a killed one began: wait for it") from None
            yield held
        finally:
            os.close(held)
