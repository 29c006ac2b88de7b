"""What is done to the colours and asked of them, as commands: of compose, or of whatever else runs the processes.

A table of commands, each a list of words with {colour} in them:
  start     bring the colour up anew, as the release that is installed now
  resume    bring it up as it was when it was stopped, for --back
  stop      end it gently, and come back when it has ended
  runs      print something when it runs, nothing when it does not
  ready     exit 0 when /readyz of the colour answers 200; the last line says why it does not
  smoke     exit 0 when `sigilo smoke` of the colour finds nothing; what it prints is shown otherwise
  outside   the same of the clinic's own address, through the proxy, by the colour's own program; may be missing
  serving   print what the proxy answers at /serving, inside
  upstreams print what Caddy's own API answers at /reverse_proxy/upstreams
  beside    exit 0 when the release that serves can go on on the new release's schema; may be missing
  prepare   bring the schema up to date, where start does not; may be missing
  drills    bring up to date what the release can do without, before what follows; may be missing
  follow    bring what else belongs to the release up to date (workers, scheduler); may be missing
and, as "addresses", how the proxy knows each colour.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from switching.serving import COLOURS, SwitchError

NEEDED = ("start", "resume", "stop", "runs", "ready", "smoke", "serving", "upstreams")
QUICK_SECONDS = 20.0
SHOWN_LINES = 15


@dataclass
class Commands:
    """``lock`` is held by each command too (StateFolder.locked)."""

    table: dict[str, list[str]]
    addresses: dict[str, str]
    lock: int = -1
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def run(self, name: str, colour: str = "", *, seconds: float = QUICK_SECONDS) -> str:
        """What the command printed. Raises SwitchError with its last words when it fails or takes longer."""
        words = [word.replace("{colour}", colour) for word in self.table[name]]
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=self.environment, start_new_session=True, pass_fds=() if self.lock < 0 else (self.lock,),
            )  # fmt: skip
        except OSError as error:
            raise SwitchError(f"{name}: {words[0]}: {error.strerror}") from None
        try:
            printed, complained = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            raise SwitchError(f"{name} {colour} took longer than {seconds:g} s") from None
        except BaseException:  # a signal to this program, which has to go back first
            _end(process)
            raise
        if process.returncode:
            last = "\n    ".join(f"{printed}\n{complained}".strip().splitlines()[-SHOWN_LINES:])
            raise SwitchError(f"{name} {colour} failed ({process.returncode}): {last or 'it said nothing'}")
        return printed.strip()

    def has(self, name: str) -> bool:
        return name in self.table

    def runs(self, colour: str) -> bool:
        return bool(self.run("runs", colour))

    def why_not_ready(self, colour: str) -> str | None:
        try:
            self.run("ready", colour)
        except SwitchError as error:
            return str(error)
        return None

    def requests_under_way(self, colour: str) -> int:
        """How many the proxy has handed to ``colour`` and not got back."""
        try:
            known = json.loads(self.run("upstreams"))
            return sum(each["num_requests"] for each in known if each["address"] == self.addresses[colour])
        except (ValueError, TypeError, KeyError):
            raise SwitchError("the proxy does not say what is under way: is it Caddy 2, with its API on?") from None


def _end(process: subprocess.Popen[str]) -> None:
    """The command and what it has started and waits for; gently first, for Docker's client passes that on."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.communicate(timeout=5)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            process.wait()
            return


def read_table(path: Path) -> Commands:
    """Commands of one's own, from a JSON file: {"addresses": {"blue": …, "green": …}, "start": ["word", …], …}."""
    try:
        table = json.loads(path.read_text())
        addresses = dict(table.pop("addresses"))
        missing = [name for name in NEEDED if name not in table] + [each for each in COLOURS if each not in addresses]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SwitchError(f"{path}: {error}: see `deploy/switch --help`") from None
    if missing:
        raise SwitchError(f"{path} lacks {', '.join(missing)}")
    return Commands({name: [str(word) for word in words] for name, words in table.items()}, addresses)
