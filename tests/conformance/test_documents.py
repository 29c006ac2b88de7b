"""Documents name what is there: commands, verbs, files, headings, and in diagrams tables, roles and queues."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from config import Principal
from integrations.broker import QUEUES
from models import Base
from tests.conformance.rows import read_claims
from tests.documents import TOP, anchors, blocks, code, wrong_command, wrong_links, wrong_verb

READMES = [TOP / "README.md", TOP / "README.pt-BR.md", TOP / "observability" / "README.md"]
PAGES = [*READMES, *sorted(TOP.glob("docs/*.md"))]
DIAGRAMS = blocks((TOP / "docs" / "architecture.md").read_text(encoding="utf-8"), "mermaid")
FOLDERS = "web|services|models|tasks|backups|integrations|observability|embedded|deploy|migrations|scripts|bench|load"
PATH = re.compile(rf"(?<![\w/.-])((?:{FOLDERS})/[\w./-]*\w|(?:wsgi|celery_app|cli|config)\.py)")
ROLES = {principal.role for principal in Principal} | {"sigilo_archive"}


def identify(value: object) -> str:
    return str(value.relative_to(TOP)) if isinstance(value, Path) else ""


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_commands_and_verbs_are_ours(page: Path) -> None:
    lines = list(code(page.read_text(encoding="utf-8")))
    wrong = [wrong_command(line) for line in lines if line.startswith("sigilo ")]
    wrong += [wrong_verb(line) for line in lines if re.match(r"make [a-z]", line)]
    assert [each for each in wrong if each] == []


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_scripts_that_are_called_are_there(page: Path) -> None:
    called = {word for line in code(page.read_text(encoding="utf-8")) for word in line.split()[:2]}
    # deploy/state is made where Sigilo runs.
    scripts = {word for word in called if re.fullmatch(r"(?:scripts|deploy(?!/state))/[\w/.-]*[\w-]", word)}
    assert {script for script in scripts if not (TOP / script).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_scripts_of_deploy_have_the_options_that_are_named(page: Path) -> None:
    for line in code(page.read_text(encoding="utf-8")):
        script, *words = line.split()
        options = [word for word in words if word.startswith("--")]
        if re.match(r"deploy/(?!state)", script) and options:
            done = subprocess.run([TOP / script, "--help"], capture_output=True, text=True, check=True, timeout=30)
            assert [option for option in options if option not in done.stdout] == [], line


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_links_lead_somewhere(page: Path) -> None:
    assert list(wrong_links(page)) == []


def test_documents_that_claims_name_have_these_headings() -> None:
    for claim in read_claims():
        for document in claim.documents:
            path, _, fragment = document.partition("#")
            assert (TOP / path).is_file(), document
            assert not fragment or fragment in anchors(TOP / path), document


def test_there_is_a_diagram_for_each_way() -> None:
    assert len(DIAGRAMS) == 4


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=range(len(DIAGRAMS)))
def test_what_a_diagram_names_is_there(diagram: str) -> None:
    paths = set(PATH.findall(diagram))
    assert {path for path in paths if not (TOP / path).exists()} == set()
    tables = set(re.findall(r"table: (\w+)", diagram))
    assert tables <= set(Base.metadata.tables)
    roles = set(re.findall(r"role: (\w+)", diagram))
    assert roles <= ROLES
    queues = {name for names in re.findall(r"queue: ([\w, ]+)", diagram) for name in names.split(", ")}
    assert queues <= set(QUEUES)
    commands = set(re.findall(r"<b>(sigilo [^<]+)</b>", diagram))
    assert [wrong_command(each) for each in commands if wrong_command(each)] == []
    assert paths | tables | roles | queues | commands, "a diagram that names nothing can't be held to anything"


def test_the_diagrams_have_every_queue_and_every_kind_of_process() -> None:
    text = "\n".join(DIAGRAMS)
    assert {name for names in re.findall(r"queue: ([\w, ]+)", text) for name in names.split(", ")} == set(QUEUES)
    assert {"sigilo web", "sigilo worker", "sigilo scheduler"} <= set(re.findall(r"<b>(sigilo [^<]+)</b>", text))


def test_ci_runs_what_the_documents_say() -> None:
    lines = (TOP / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    verbs = [line for line in lines if line.startswith("make ")]
    assert verbs.index("make test-pg15") < verbs.index("make test")


@pytest.mark.parametrize(
    "line", ["sigilo fly", "sigilo db sideways", "sigilo backup restore latest --onto x", "sigilo doctor --bundel F"]
)
def test_a_command_that_is_none_is_noticed(line: str) -> None:
    assert wrong_command(line) is not None


def test_a_verb_that_is_none_is_noticed() -> None:
    assert wrong_verb("make PORT=1 coffee") is not None
    assert wrong_verb("make test") is None
