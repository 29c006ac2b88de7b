"""What docs/conformance/ says: the rows that were asked for, the claims of each, and the tests that show a claim.

``rows.toml`` has the rows: 1–32 of the original analysis, M1–M13 of the product's map. Every other file has claims:

    [[claim]]
    rows = ["1", "M1"]      # one claim may belong to several rows
    says = "…"              # one sentence that a test can contradict
    tests = ["tests/web/test_records_api.py::test_…"]  # every one of them has to pass, all its cases
    verb = "drill"          # `make drill` runs them; `make test` else. Without tests: the verb shows it
    documents = ["docs/disaster-recovery.md#how-long-what-is-kept"]  # where what is asked for is a text
    open = "…"              # instead of tests: it is not there, and why. Shown as such, and fails nothing
"""

from __future__ import annotations

import ast
import fnmatch
import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "conformance"
TEST = "test"  # the verb that runs every file named test_*.py
LISTS = ("rows", "tests", "documents")
SENTENCES = ("says", "verb", "open")


@dataclass(frozen=True)
class Claim:
    """``file`` is the one that it stands in; the others as the module says."""

    file: str
    rows: tuple[str, ...]
    says: str
    tests: tuple[str, ...] = ()
    verb: str = TEST
    documents: tuple[str, ...] = ()
    open: str = ""

    @property
    def evidence(self) -> tuple[str, ...]:
        """What has to have passed: tests, or a verb as a whole."""
        return self.tests or (() if self.verb == TEST else (f"make {self.verb}",))


def read_rows() -> dict[str, str]:
    """Number → what the row asks for, in our words, in order."""
    with (FOLDER / "rows.toml").open("rb") as file:
        return dict(tomllib.load(file)["row"])


def read_claims() -> list[Claim]:
    """Every claim, file by file. Raises ValueError for what has another shape."""
    files = sorted(path for path in FOLDER.glob("*.toml") if path.name != "rows.toml")
    return [claim for path in files for claim in _claims_of(path)]


def _claims_of(path: Path) -> Iterator[Claim]:
    for found in tomllib.loads(path.read_text(encoding="utf-8"))["claim"]:
        if unknown := set(found) - {*LISTS, *SENTENCES}:
            raise ValueError(f"{path.name}: a claim has no {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {name: tuple(found[name]) if name in LISTS else found[name] for name in found}
        yield Claim(file=path.name, **values)


def named(claims: list[Claim], verb: str) -> set[str]:
    """Node ids, without cases, that ``make <verb>`` has to pass."""
    return {node for claim in claims if claim.verb == verb for node in claim.tests}


@cache
def functions(file: str) -> dict[str, ast.FunctionDef]:
    """The test functions of ``file`` (a path below the top of the repository) by name; none where it is not there."""
    path = ROOT / file
    if not path.is_file():
        return {}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return {node.name: node for node in found if node.name.startswith("test_")}


def function(node: str) -> ast.FunctionDef | None:
    file, _, name = node.partition("::")
    return functions(file).get(name)


def digest(node: str) -> str:
    """Changes when the text of the test does; empty when there is none."""
    file, _, _ = node.partition("::")
    if (found := function(node)) is None:
        return ""
    text = ast.get_source_segment((ROOT / file).read_text(encoding="utf-8"), found) or ""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def runs(verb: str, file: str) -> bool:
    """Whether ``make <verb>`` runs the tests of ``file``."""
    if verb == TEST:
        return fnmatch.fnmatch(Path(file).name, "test_*.py")
    recipe = re.search(rf"^{re.escape(verb)}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    words = re.findall(r"tests/\S+", recipe[1]) if recipe else []
    return any(fnmatch.fnmatch(file, word) or file.startswith(f"{word}/") for word in words)
