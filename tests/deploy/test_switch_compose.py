"""What deploy/switch asks of Docker for compose.prod.yml: every service that it names is there, and each in its turn.
Docker itself is a script that keeps the state of containers in files; the real one runs where there is an engine.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "compose.prod.yml"
DOCKER = r"""#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>asked
echo 'level=warning msg="a variable is not set"' >&2
colour=$(echo "$*" | grep -o 'web-[a-z]*' | tail -1)
case "$*" in
*/serving) exec ls state ;;
*/upstreams) echo '[{"address": "web-blue:8000", "num_requests": 0}]' ;;
*" ps "*) [ ! -e "$colour" ] || echo 0123456789ab ;;
*" up "*web-* | *" start "*) touch "$colour" ;;
*" stop "*) rm "$colour" ;;
*/readyz) [ -e "$colour" ] ;;
esac
"""
# As deploy/switch does, which has the folder deploy for its own.
DRILLS = "postgres-drills"
NAME_COLOUR = (
    sys.executable, "-c",
    f"import sys; sys.path.insert(0, {str(ROOT / 'deploy')!r}); from pathlib import Path;"
    " from switching.profiles import name_colour; name_colour(Path('.env'), 'green')",
)  # fmt: skip
Asked = list[list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Blue runs, as after the first `docker compose up`, and nothing was switched yet."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "web-blue").touch()
    (tmp_path / "state").mkdir()
    return tmp_path


def switch(
    folder: Path,
    *arguments: str,
    top: Path = ROOT,
    files: Sequence[Path] = (COMPOSE,),
    env_file: Path | None = None,
) -> Asked:
    """What Docker was asked, without the words that every question begins with; ``files``, ``env_file``: which it was
    asked with. Of this checkout's own .env nothing is known."""
    if top == ROOT:
        arguments = (*arguments, "--env", str(folder / "no.env"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
    done = subprocess.run(
        [top / "deploy" / "switch", "--state", folder / "state", "--watch-seconds", "0", *arguments],
        env=environment | {"PATH": f"{folder}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked = [shlex.split(line) for line in (folder / "asked").read_text().splitlines()]
    (folder / "asked").unlink()
    beginning = ["compose", *(word for file in files for word in ("--file", str(file)))]
    beginning += [*(("--env-file", str(env_file)) if env_file else ()), "--profile", "blue", "--profile", "green"]
    assert all(words[: len(beginning)] == beginning for words in asked)
    return [words[len(beginning) :] for words in asked]


def changes(asked: Asked) -> list[str]:
    """What was not only a question, in short."""
    found = (f"{words[0]} {words[-1]}" for words in asked if words[0] not in ("ps", "exec") and DRILLS not in words)
    return list(dict.fromkeys(found))


def test_the_schema_first_then_the_other_colour_then_what_follows(folder: Path) -> None:
    asked = switch(folder)
    assert changes(asked) == ["run beside", "run prepare", "up web-green", "stop web-blue", "up scheduler"]
    assert [path.name for path in (folder / "state").glob("[!.]*")] == ["green"]
    assert {path.name for path in folder.glob("web-*")} == {"web-green"}
    smoke = [words for words in asked if "smoke" in words]
    assert smoke == [["exec", "-T", "web-green", "sigilo", "smoke", "http://127.0.0.1:8000"]]


def test_back_starts_the_container_that_was_stopped_and_touches_neither_schema_nor_workers(folder: Path) -> None:
    switch(folder)
    assert changes(switch(folder, "--back")) == ["start web-blue", "stop web-green"]


def test_what_a_clinic_adds_stays_when_services_are_made_anew(folder: Path, tmp_path: Path) -> None:
    """As `docker compose` in that folder has it: the files that COMPOSE_FILE in .env names, in their order."""
    clinic = copied(tmp_path)
    store = "deploy/compose/object-store.yml"
    (clinic / ".env").write_text(f"# for compose\nPUBLIC_URL='https://a'\nCOMPOSE_FILE='compose.prod.yml:{store}'\n")
    both = (clinic / "compose.prod.yml", clinic / store)
    assert changes(switch(folder, top=clinic, files=both))[-1] == "up scheduler"
    given = (tmp_path / "a.yml", tmp_path / "b.yml")
    switch(folder, "--compose", str(given[0]), "--compose", str(given[1]), top=clinic, files=given)
    (clinic / ".env").write_text(f"COMPOSE_PATH_SEPARATOR=,\nCOMPOSE_FILE=compose.prod.yml,{store}\n")
    switch(folder, top=clinic, files=both)
    (clinic / ".env").unlink()
    switch(folder, top=clinic, files=both[:1])
    assert not (clinic / ".env").exists(), "whoever has none says so otherwise"


def test_compose_brings_up_who_serves_from_then_on(folder: Path, tmp_path: Path) -> None:
    """A bare `up` is about the colour that serves; what the clinic chose beside it stays."""
    clinic = copied(tmp_path)
    (clinic / ".env").write_text("A='1'\nCOMPOSE_PROFILES='ops,blue'\nB='2'\n")
    switch(folder, top=clinic, files=(clinic / "compose.prod.yml",))
    assert (clinic / ".env").read_text() == "A='1'\nB='2'\nCOMPOSE_PROFILES='green,ops'\n"
    switch(folder, "--back", top=clinic, files=(clinic / "compose.prod.yml",))
    assert (clinic / ".env").read_text() == "A='1'\nB='2'\nCOMPOSE_PROFILES='blue,ops'\n"
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert [services[f"web-{colour}"]["profiles"] for colour in ("blue", "green")] == [["blue"], ["green"]]


@pytest.mark.parametrize(
    ("tls", "known"),
    [
        ("ana@clinica.example", None),
        ("internal", "/data/caddy/pki/authorities/local/root.crt"),
        ("/data/own.crt /data/own.key", "/data/own.crt"),
    ],
)
def test_the_address_is_looked_at_by_each_colour_through_the_proxy(
    folder: Path, tmp_path: Path, tls: str, known: str | None
) -> None:
    clinic = copied(tmp_path)
    (clinic / ".env").write_text(f"PUBLIC_URL='https://clinica.example'\nSIGILO_TLS='{tls}'\n")
    asked = switch(folder, top=clinic, files=(clinic / "compose.prod.yml",))
    of_the_address = [words for words in asked if "https://clinica.example" in words]
    given = ["--authority", "-"] if known else []
    assert of_the_address == [
        ["exec", "-T", f"web-{colour}", "sigilo", "smoke", "https://clinica.example", *given]
        for colour in ("blue", "green")
    ]
    assert [words[-1] for words in asked if words[2:4] == ["caddy", "cat"]] == ([known] * 2 if known else [])


def test_who_serves_is_settled_though_env_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    """The way on and the way back stay open, and it is said."""
    clinic = copied(tmp_path)
    (clinic / ".env").write_text("COMPOSE_PROFILES=blue,${MORE}\n")
    files = (clinic / "compose.prod.yml",)
    assert changes(switch(folder, top=clinic, files=files))[-1] == "up scheduler"
    assert (clinic / ".env").read_text() == "COMPOSE_PROFILES=blue,${MORE}\n"
    assert [path.name for path in (folder / "state").glob("[!.]*")] == ["green"]
    (clinic / ".env").write_text("COMPOSE_PROFILES=blue\n")
    said = subprocess.run(
        [clinic / "deploy" / "switch", "--state", folder / "state", "--status"], capture_output=True, text=True,
        check=True, env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
    ).stdout  # fmt: skip
    assert ".env: COMPOSE_PROFILES does not name green" in said
    (folder / "asked").unlink()
    # What a killed run did not come to say is said by the next one, before it does anything.
    assert changes(switch(folder, "--back", top=clinic, files=files))[0] == "start web-blue"
    assert (clinic / ".env").read_text() == "COMPOSE_PROFILES='blue'\n"


def test_another_file_than_env_is_composes_too(folder: Path, tmp_path: Path) -> None:
    clinic = copied(tmp_path)
    own = tmp_path / "clinic.env"
    own.write_text("COMPOSE_PROFILES=blue\n")
    switch(folder, "--env", str(own), top=clinic, files=(clinic / "compose.prod.yml",), env_file=own)
    assert own.read_text() == "COMPOSE_PROFILES='green'\n"


def test_without_the_drills_server_the_release_is_there_all_the_same(folder: Path) -> None:
    program = folder / "docker"
    program.write_text(program.read_text().replace('case "$*" in', 'case "$*" in\n*postgres-drills) exit 1 ;;', 1))
    assert changes(switch(folder))[-1] == "up scheduler"
    assert all("scheduler" not in words for words in switch(folder, "--also", DRILLS)), "and nothing but what is named"


@pytest.mark.parametrize("line", ["SIGILO_TLS=internal # lan only", "export SIGILO_TLS='internal' # x"])
def test_what_else_env_says_is_read_in_the_same_way(folder: Path, tmp_path: Path, line: str) -> None:
    clinic = copied(tmp_path)
    others = ("export PUBLIC_URL=https://clinica.example", "COMPOSE_FILE='compose.prod.yml' # all of it")
    (clinic / ".env").write_text("\n".join((*others, line, "")))
    asked = switch(folder, top=clinic, files=(clinic / "compose.prod.yml",))
    assert ["exec", "-T", "web-green", "sigilo", "smoke", "https://clinica.example", "--authority", "-"] in asked


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A=1\nCOMPOSE_PROFILES=blue,ops # for Ana's tunnel\nB=2", "A=1\nB=2\nCOMPOSE_PROFILES='green,ops'\n"),
        ("COMPOSE_PROFILES=blue # serves\n", "COMPOSE_PROFILES='green'\n"),
        ("export COMPOSE_PROFILES=ops\nA=1\n", "A=1\nCOMPOSE_PROFILES='green,ops'\n"),
        ("COMPOSE_PROFILES = \"ops, blue\" # x\r\nA=1\r\n", "A=1\nCOMPOSE_PROFILES='green,ops'\n"),
        ("# COMPOSE_PROFILES=ai\n", "# COMPOSE_PROFILES=ai\nCOMPOSE_PROFILES='green'\n"),
        ("COMPOSE_PROFILES=ai\nCOMPOSE_PROFILES='ops'\n", "COMPOSE_PROFILES='green,ops'\n"),
        ("COMPOSE_PROFILES=\n", "COMPOSE_PROFILES='green'\n"),
        ("", "COMPOSE_PROFILES='green'\n"),
    ],
)
def test_a_line_of_env_is_read_as_compose_reads_it(tmp_path: Path, before: str, after: str) -> None:
    env = tmp_path / "named.env"
    env.write_bytes(before.encode())
    env.chmod(0o640)
    (tmp_path / ".env").symlink_to(env)
    done = subprocess.run(NAME_COLOUR, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert env.read_bytes().decode() == after
    assert env.stat().st_mode & 0o777 == 0o640 and (tmp_path / ".env").is_symlink()


@pytest.mark.parametrize(
    "line",
    ["COMPOSE_PROFILES=blue,${MORE}", "COMPOSE_PROFILES='blue'more", 'COMPOSE_PROFILES="blue', "COMPOSE_PROFILES: ops"],
)
def test_a_line_that_cannot_be_kept_is_left_as_it_is(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"{line}\n")
    done = subprocess.run(NAME_COLOUR, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "has to be names with commas between them" in done.stderr
    assert (tmp_path / ".env").read_text() == f"{line}\n"


def copied(tmp_path: Path) -> Path:
    clinic = tmp_path / "clinic"
    shutil.copytree(ROOT / "deploy", clinic / "deploy", ignore=shutil.ignore_patterns("state"))
    return clinic


def test_every_service_that_is_named_is_there(folder: Path) -> None:
    services = set(yaml.safe_load(COMPOSE.read_text())["services"])
    for words in switch(folder):
        if words[0] == "up":
            named = {word for word in words[1:] if not word.startswith("-")}
        elif words[0] == "exec":
            named = {words[2]}
        elif words[0] == "run":
            named = {words[3]}
        else:
            named = {words[-1]}
        assert named <= services, words
    workers = {name for name in services if name.startswith(("worker", "scheduler"))}
    asked = switch(folder)
    (follow,) = (words for words in asked if words[0] == "up" and "scheduler" in words)
    assert "--wait" in follow, "until they are healthy"
    (drills,) = (words for words in asked if DRILLS in words)
    assert asked.index(drills) < asked.index(follow) and "--wait" not in drills, "backups are made without it, too"
    followed = {*follow, *drills} & services
    assert followed == workers | {"postgres-drills"}, "all that belongs to the release follows"
