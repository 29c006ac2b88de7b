"""deploy/switch as it is, over colours that are files: every step fails, is interrupted or killed, and what is then
there serves. What real processes under load make of it is `make blue-green`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from embedded.process import wait_until

SWITCH = Path(__file__).resolve().parent.parent.parent / "deploy" / "switch"
STEPS = ("asking the proxy", "Starting", "Waiting until", "Looking at", "Sending requests", "Watching")
LATER = ("Waiting for what", "Stopping")


class Files:
    """A colour runs when its file is there, and the proxy says what the state folder does."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.state.mkdir()
        self.put()

    def put(self, **commands: str) -> None:
        own = {
            "start": "touch {colour}; echo start >> done", "resume": "touch {colour}; echo resume >> done",
            "stop": "rm {colour}; echo stop {colour} >> done", "runs": "ls {colour} 2>/dev/null || true",
            "ready": "test -e {colour}", "smoke": "true", "serving": "ls state",
            "upstreams": """echo '[{"address": "blue", "num_requests": 0}, {"address": "green", "num_requests": 0}]'""",
        }  # fmt: skip
        table = {name: ["sh", "-c", f"cd {self.folder}; {command}"] for name, command in {**own, **commands}.items()}
        table["addresses"] = {"blue": "blue", "green": "green"}  # type: ignore[assignment]
        (self.folder / "hooks.json").write_text(json.dumps(table))

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [SWITCH, "--hooks", self.folder / "hooks.json", "--state", self.state, "--watch-seconds", "0.1",
             "--proxy-seconds", "0.3", "--ready-seconds", "0.5", "--drain-seconds", "0.3", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def switch(self, *arguments: str) -> tuple[int, str]:
        process = self.begin(*arguments)
        said, _ = process.communicate(timeout=30)
        return process.returncode, said

    def until(self, process: subprocess.Popen[str], words: str) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if words in line:
                return
        raise AssertionError(words)

    @property
    def serves(self) -> str:
        (name,) = (path.name for path in self.state.iterdir() if not path.name.startswith("."))
        return name

    @property
    def running(self) -> set[str]:
        return {colour for colour in ("blue", "green") if (self.folder / colour).exists()}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Blue serves."""
    made = Files(tmp_path)
    (made.folder / "blue").touch()
    (made.state / "blue").touch()
    return made


def test_the_first_one_is_blue(tmp_path: Path) -> None:
    made = Files(tmp_path)
    code, said = made.switch()
    assert (code, made.serves, made.running) == (0, "blue", {"blue"}), said


def test_each_step_is_a_line_and_the_other_colour_serves_alone(files: Files) -> None:
    code, said = files.switch()
    assert (code, files.serves, files.running) == (0, "green", {"green"}), said
    places = [said.index(words) for words in (*STEPS, *LATER, "green serves.")]
    assert places == sorted(places)
    assert all(re.match(r"\d\d:\d\d:\d\d \S", line) for line in said.splitlines())
    assert files.switch()[0] == 0
    assert (files.serves, files.running) == ("blue", {"blue"})


def test_back_is_to_what_it_was(files: Files) -> None:
    assert files.switch()[0] == 0
    assert files.switch("--back")[0] == 0
    assert (files.serves, files.running) == ("blue", {"blue"})
    assert (files.folder / "done").read_text().split("\n")[-3:] == ["resume", "stop green", ""]


def test_status_says_who_serves_and_changes_nothing(files: Files) -> None:
    assert files.switch("--status") == (0, "serves: blue\nblue: runs\ngreen: does not run\n")


@pytest.mark.parametrize(
    ("command", "does", "why"),
    [
        ("start", "echo no such image; exit 1", "no such image"),
        ("start", "true", "ended while it started"),
        ("ready", "echo the schema is too new; test {colour} = blue", "the schema is too new"),
        ("smoke", "echo FAIL Headers; exit 1", "FAIL Headers"),
        ("serving", "ls state | sed s/green-then-blue/blue/", "the proxy should send requests to green-then-blue"),
        ("serving", "exit 1", "the proxy should send requests to blue"),
        # Ready as long as nobody relies on it.
        ("ready", "test -e {colour} -a ! -e state/green-then-blue -o {colour} = blue", "ready and is no more"),
    ],
)
def test_what_fails_before_the_other_colour_has_kept_well_is_undone(
    files: Files, command: str, does: str, why: str
) -> None:
    files.put(**{command: does})
    code, said = files.switch()
    assert code == 1, said
    assert why in said
    assert (files.serves, files.running) == ("blue", {"blue"}), said
    files.put()
    assert files.switch()[0] == 0, "and the next one goes well"
    assert (files.serves, files.running) == ("green", {"green"})


@pytest.mark.parametrize(
    ("step", "number"), [("Starting", signal.SIGINT), ("Looking at", signal.SIGTERM), ("Watching", signal.SIGINT)]
)
def test_interrupted_before_the_other_colour_has_kept_well_it_goes_back(
    files: Files, step: str, number: signal.Signals
) -> None:
    slow = {name: f"sleep 0.1; {does}" for name, does in (("smoke", "true"), ("serving", "ls state"))}
    files.put(**slow, start="sleep 0.2; touch {colour}", ready="sleep 0.1; test -e {colour}")
    process = files.begin()
    files.until(process, step)
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1, said
    assert (files.serves, files.running) == ("blue", {"blue"}), said
    assert "interrupted" in said


@pytest.mark.parametrize("step", ["Starting", "Sending requests", "Watching", "Stopping"])  # all: make blue-green
def test_killed_at_any_step_somebody_serves_and_the_next_run_puts_it_in_order(files: Files, step: str) -> None:
    files.put(start="sleep 0.2; touch {colour}", smoke="sleep 0.2")
    process = files.begin()
    files.until(process, step)
    process.kill()
    process.communicate(timeout=30)
    assert files.serves.partition("-")[0] in files.running, "whom people are sent to runs"
    # What the killed one began holds the lock until it ends.
    deadline = time.monotonic() + 10
    while (found := files.switch())[0] == 3 and "another switch is under way" in found[1]:
        assert time.monotonic() < deadline
    assert found[0] == 0, found[1]
    assert files.running == {files.serves}


def test_two_at_once_are_one(files: Files) -> None:
    files.put(start="sleep 1; touch {colour}")
    first = files.begin()
    files.until(first, "Starting")
    code, said = files.switch()
    assert (code, "another switch is under way" in said) == (3, True)
    first.communicate(timeout=30)
    assert (first.returncode, files.serves) == (0, "green")


def test_what_is_asked_of_the_old_colour_is_waited_for_as_long_as_it_was_said(files: Files) -> None:
    files.put(upstreams="""echo "[{\\"address\\": \\"blue\\", \\"num_requests\\": $(ls busy 2>/dev/null | wc -l)}]" """)
    (files.folder / "busy").touch()
    process = files.begin("--drain-seconds", "20")
    files.until(process, "Waiting for what blue")
    assert not wait_until(lambda: process.poll() is not None, 0.5), "blue still answers something"
    assert (files.serves, files.running) == ("green-then-blue", {"blue", "green"})
    (files.folder / "busy").unlink()
    process.communicate(timeout=30)
    assert (process.returncode, files.serves, files.running) == (0, "green", {"green"})


def test_a_command_that_hangs_is_ended_with_what_it_started(files: Files) -> None:
    files.put(smoke="sleep 300 & echo $! > hanging; wait")
    began = time.monotonic()
    code, said = files.switch("--smoke-seconds", "0.5")
    assert (code, files.serves, files.running) == (1, "blue", {"blue"}), said
    assert "took longer than 0.5 s" in said
    assert time.monotonic() - began < 15
    pid = int((files.folder / "hanging").read_text())
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), 5) or "Z" in Path(f"/proc/{pid}/stat").read_text()


def test_the_address_has_to_be_as_well_as_it_was(files: Files) -> None:
    """Through the proxy: what the new colour alone does not show. What was wrong already keeps nobody from a
    release."""
    files.put(outside="ls state >> looked; if [ {colour} = green ]; then echo FAIL Static files; exit 1; fi")
    code, said = files.switch()
    assert (code, files.serves, files.running) == (1, "blue", {"blue"}), said
    assert "FAIL Static files" in said
    assert (files.folder / "looked").read_text().split() == ["blue", "green-then-blue"]
    files.put(outside="echo FAIL TLS; exit 1")
    code, said = files.switch()
    assert (code, files.serves, files.running) == (0, "green", {"green"}), said
    assert said.count("FAIL TLS") == 1 and "not judged by it" in said
    files.put(outside="echo {colour} >> asked")
    assert files.switch("--back")[0] == 0
    assert (files.serves, files.running) == ("blue", {"blue"})
    assert not (files.folder / "asked").exists(), "whoever goes back has seen enough"


def test_workers_follow_and_their_failure_takes_nobody_off(files: Files) -> None:
    files.put(follow="echo no such image; exit 1")
    code, said = files.switch()
    assert (code, files.serves, files.running) == (3, "green", {"green"}), said
    assert "no such image" in said


def test_two_states_at_once_are_for_somebody_to_look_at(files: Files) -> None:
    (files.state / "green").touch()
    code, said = files.switch()
    assert (code, "remove the one that does not serve" in said) == (3, True)
    assert files.running == {"blue"}


def test_a_table_that_lacks_something_changes_nothing(files: Files) -> None:
    (files.folder / "hooks.json").write_text('{"addresses": {"blue": "b", "green": "g"}}')
    code, said = files.switch()
    assert (code, files.serves) == (3, "blue")
    assert "lacks start" in said


def test_it_needs_nothing_of_ours(files: Files) -> None:
    """The host's own Python, without site packages and without this repository as its place."""
    done = subprocess.run(
        ["python3", "-I", "-S", SWITCH, "--help"], capture_output=True, text=True, check=True, cwd="/",
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert "--back" in done.stdout
