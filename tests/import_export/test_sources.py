"""Opening files: what is walked, what is refused, and that a bomb costs neither memory nor time."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from services import import_sources
from services.import_sources import LINE_MAX, FileRefused, SourceMissing, from_paths, lines, printable
from tests.import_export.conftest import read
from tests.import_export.fhir_samples import as_lines, patient

ROOT = Path(__file__).resolve().parent.parent.parent
Write = Callable[..., Path]


def test_folders_are_walked_in_order_and_hidden_entries_passed_over(write: Write) -> None:
    for name in ("b.json", "a.json", "sub/c.json", ".hidden.json", ".git/d.json"):
        path = write(name, "{}")
    root = path.parent.parent
    assert [file.name for file in from_paths([root])] == ["a.json", "b.json", "sub/c.json"]
    assert [file.name for file in from_paths([root / "b.json", root])] == ["b.json", "a.json", "sub/c.json"]


def test_a_missing_path_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"cannot be read: No such file or directory\. Check the path\."):
        from_paths([tmp_path / "nothing"])


def test_a_pipe_neither_hangs_nor_stops_the_rest(write: Write) -> None:
    path = write("p.ndjson", as_lines(patient()))
    os.mkfifo(path.parent / "pipe.json")
    found = read(path.parent)
    assert len(found.entries) == 1
    assert found.reason == "cannot be opened: not a regular file"


def test_gzip_is_known_by_its_bytes(write: Write) -> None:
    content = gzip.compress(as_lines(patient()).encode())
    assert len(read(write("zipped.ndjson", content)).entries) == 1
    assert len(read(write("plain.ndjson.gz", as_lines(patient()))).entries) == 1


@pytest.mark.parametrize("keep", [8, -12, -4])
def test_damaged_gzip_is_one_refusal(write: Write, keep: int) -> None:
    content = gzip.compress(as_lines(*[patient(f"id-{number}") for number in range(50)]).encode())
    found = read(write("cut.ndjson.gz", content[:keep]))
    assert found.rejects[-1].reason == "the gzip stream is damaged or ends too early"
    assert len(found.rejects) == 1


def test_every_line_has_its_number_and_a_long_one_is_skipped(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_sources, "LINE_MAX", 10)
    with write("lines", b"one\n" + b"x" * 100_000 + b"\nthree\n" + b"y" * 100).open("rb") as stream:
        assert list(lines(stream)) == [(1, b"one\n"), (2, None), (3, b"three\n"), (4, None)]


def bomb(path: Path, megabytes: int, *, byte: bytes) -> Path:
    """A gzip file that expands to ``megabytes`` of one byte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(packer.compress(byte * 1024 * 1024))
        file.write(packer.flush())
    return path


MEASURED = """
import resource, sys
from pathlib import Path
from tests.import_export.conftest import read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = read(Path(sys.argv[1]))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(found.entries), (after - before) // 1024, found.rejects[-1].reason)
"""


@pytest.mark.parametrize(
    ("name", "byte"), [("b.json.gz", b"["), ("b.ndjson.gz", b"\n"), ("b.ndjson.gz", b" "), ("b.csv.gz", b"x")]
)
def test_security_24_gzip_bomb_is_refused_with_memory_flat(tmp_path: Path, name: str, byte: bytes) -> None:
    path = bomb(tmp_path / name, 220, byte=byte)
    assert path.stat().st_size < 1024 * 1024
    child = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    entries, megabytes, reason = child.stdout.strip().split(" ", 2)
    assert entries == "0"
    assert int(megabytes) < 6 * LINE_MAX // 1024 // 1024
    assert reason.startswith(
        ("expands to more than 100 times", "the document is longer", "is neither", "the line is", "is empty")
    )


def test_a_stream_within_proportion_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_sources, "FREE_EXPANSION", 1024)
    (file,) = from_paths([bomb(tmp_path / "bomb.gz", 1, byte=b"x")])
    with file.stream() as stream, pytest.raises(FileRefused, match="expands to more than 100 times"):
        stream.read()
    random = tmp_path / "random.gz"
    random.write_bytes(gzip.compress(os.urandom(100_000)))
    (file,) = from_paths([random])
    with file.stream() as stream:
        assert len(stream.read()) == 100_000


def test_names_are_fit_for_a_terminal_and_the_database(tmp_path: Path) -> None:
    assert printable("Mejía.json") == "Mejía.json"
    assert printable("a\x1b[31m\nb") == "a\ufffd[31m\ufffdb"
    path = tmp_path / os.fsdecode(b"caf\xe9.json")
    path.write_text("{}")
    assert [file.name for file in from_paths([tmp_path])] == ["caf\ufffd.json"]
