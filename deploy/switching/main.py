"""Bring up the other colour of Sigilo, and send people there once it is well; go back by itself when it is not.

  deploy/switch            to the release that is installed now: SIGILO_VERSION in .env, whose image is there
  deploy/switch --back     to the colour that was stopped last, as it was
  deploy/switch --status   who serves, and what runs; changes nothing

Each step is a line. The exit code is 0 when the other colour serves, 1 when it does not and all is as before, 2 for a
wrong command line, 3 when somebody has to look. Ctrl-C and SIGTERM go back; after kill -9 or a power cut whoever serves
goes on, and the next run puts the rest in order.

Without Docker: --hooks FILE, a JSON table of commands ({colour} stands for blue or green):
  {"addresses": {"blue": "127.0.0.1:8001", "green": "127.0.0.1:8002"},
   "start": ["systemctl", "restart", "sigilo-web@{colour}"], "stop": ["systemctl", "stop", "sigilo-web@{colour}"], …}
with start, resume, stop, runs, ready, smoke, serving, upstreams and, where there is something to do, outside, beside,
prepare, drills and follow; deploy/switching/commands.py says what each does. A command that leaves a process behind
closes its output.

What it takes for granted: both colours and the proxy run, sessions and drafts are in the database, migrations expand
before they contract (docs/adr/0031-two-colours.md).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from types import FrameType

from installing.files import InstallError, read_env

from switching.commands import read_table
from switching.compose import compose_files, compose_table
from switching.flow import NotSwitched, Patience, Switch
from switching.profiles import colour_of, name_colour
from switching.serving import COLOURS, StateFolder, SwitchError

DEPLOY = Path(__file__).resolve().parent.parent
ENV = DEPLOY.parent / ".env"
# Drills' server before who drills there: a release may be the first that has it.
ALSO = (
    "postgres-drills", "worker", "worker-backups", "worker-audit", "worker-prompt", "worker-inference", "scheduler",
)  # fmt: skip


def main() -> int:
    given = _arguments()
    folder = StateFolder(given.state)
    try:
        env, said = given.env, read_env(given.env)
        own = env if env != ENV and env.exists() else None
        files = given.compose or compose_files(DEPLOY.parent, {**said, **os.environ})
        commands = read_table(given.hooks) if given.hooks else compose_table(files, given.also, said, own)
        if given.status:
            now = folder.read()
            print(f"serves: {now.name if now else 'whichever is ready: nothing was switched yet'}")
            for colour in COLOURS:
                print(f"{colour}: {'runs' if commands.runs(colour) else 'does not run'}")
            if now and not given.hooks and env.exists() and colour_of(env) != now.first:
                print(f"{env.name}: COMPOSE_PROFILES does not name {now.first}; deploy/bootstrap puts it right")
            return 0
        with folder.locked() as lock:
            commands.lock = lock
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, _interrupt)
            patience = Patience(**{name: getattr(given, name) for name in Patience.__dataclass_fields__})
            settled = partial(_name_in, env) if not given.hooks and env.exists() else _say_nothing
            Switch(folder, commands, patience, _say, settled).run(back=given.back)
    except NotSwitched as error:
        print(f"deploy/switch: {error}", file=sys.stderr)
        return 1
    except SwitchError as error:
        print(f"deploy/switch: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("deploy/switch: interrupted before or after the switch itself; run it again", file=sys.stderr)
        return 3
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--back", action="store_true")
    what.add_argument("--status", action="store_true")
    parser.add_argument("--state", type=Path, default=DEPLOY / "state" / "caddy", help="SIGILO_STATE of the proxy")
    parser.add_argument("--env", type=Path, default=ENV, help="compose's file, instead of .env")
    parser.add_argument(
        "--compose", action="append", type=Path, metavar="FILE",
        help="a compose file, and again for each more; by default those of COMPOSE_FILE in .env, else compose.prod.yml",
    )  # fmt: skip
    parser.add_argument(
        "--also", action="append", metavar="SERVICE",
        help=f"brought to the same release afterwards; by default {', '.join(ALSO)}; '' for none",
    )  # fmt: skip
    parser.add_argument("--hooks", type=Path, help="a table of commands in place of compose's")
    for name, field in Patience.__dataclass_fields__.items():
        parser.add_argument(
            f"--{name}-seconds", dest=name, type=float, default=field.default, metavar="S", help="%(default)g"
        )
    given = parser.parse_args()
    given.also = ALSO if given.also is None else [each for each in given.also if each]
    return given


def _interrupt(number: int, _: FrameType | None) -> None:
    """Once: the way back is not to be interrupted by whoever presses again."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _name_in(env: Path, colour: str) -> None:
    """So that `docker compose up`, after `down` or on a day when something else changed, is about who serves. Where
    that can't be written it is said: who serves is settled all the same."""
    try:
        if name_colour(env, colour):
            _say(f"{env.name}: COMPOSE_PROFILES names {colour}")
    except (OSError, UnicodeError, InstallError) as error:
        _say(f"{error}. Put {colour} into COMPOSE_PROFILES of {env} by hand, or a later `up` starts the other colour")


def _say_nothing(_: str) -> None:
    """Whoever runs the processes otherwise knows which one serves."""


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
