"""What documents name: commands, verbs, links, headings. Shared by the tests of all documents."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from cli import main

TOP = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^[ \t]*```(\w*)\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]*)#?([^)\s]*)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    """The texts of every block of ``language``."""
    return [body for kind, body in BLOCK.findall(text) if kind == language]


def code(text: str) -> Iterator[str]:
    """Every line of a shell block, and everything between backticks outside of blocks; what production runs as a
    container for one command as that command."""
    lines = [line.split(" #")[0].strip() for body in blocks(text, "sh") for line in body.splitlines()]
    for line in (*lines, *SPAN.findall(BLOCK.sub("", text))):
        yield re.sub(r"^docker compose run --rm (--volume \S+ )?tools ", "sigilo ", line)


def wrong_command(line: str) -> str | None:
    """What is wrong with ``line``, which begins with ``sigilo``: no such command, or no such option of it."""
    line = line.replace("…", "x").replace("\\|", "|")
    words = re.findall(r"\"[^\"]*\"|\S+", line)[1:]
    command: click.Command = main
    while isinstance(command, click.Group):
        if not words or not re.fullmatch(r"[a-z0-9-]+", words[0]):
            return None
        name = words.pop(0)
        if name not in command.commands:
            return f"{line}: there is no {name}"
        command = command.commands[name]
    if "|" in line:  # several commands in one span of a table
        return None
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    asked = {word.strip("[]").split("=")[0] for word in words if word.strip("[").startswith("--")}
    return f"{line}: there is no {', '.join(sorted(asked - options))}" if asked - options else None


def wrong_verb(line: str) -> str | None:
    """What is wrong with ``line``, which begins with ``make``."""
    verb = next((word for word in shlex.split(line)[1:] if not word.startswith("-") and "=" not in word), "")
    known = re.findall(r"^([a-z0-9-]+):", (TOP / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return None if verb in known else f"{line}: make knows no {verb!r}"


def anchor(heading: str) -> str:
    """The fragment that GitHub gives a heading: small letters, no punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {anchor(heading) for heading in HEADING.findall(path.read_text(encoding="utf-8"))}


def wrong_links(path: Path) -> Iterator[str]:
    """Relative links of a page that lead to no file, or to no heading of it."""
    for place, fragment in LINK.findall(BLOCK.sub("", path.read_text(encoding="utf-8"))):
        if "://" in place or place.startswith("mailto:"):
            continue
        target = (path.parent / place).resolve() if place else path
        if not target.exists():
            yield f"{path.name}: {place}"
        elif fragment and target.suffix == ".md" and fragment not in anchors(target):
            yield f"{path.name}: {place}#{fragment}"
