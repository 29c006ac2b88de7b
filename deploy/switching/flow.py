"""The steps of a switch, and the way back from each.

Until the file is renamed the new colour gets no request, so the way back is to stop it. From then on both serve, the
new one first, until it has kept well for a while; the way back renames the file again. Nobody is stopped who may still
have a request. Killed at any moment, this program leaves one of these states, each of which serves; the next run goes
on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from switching.commands import Commands
from switching.serving import COLOURS, Serving, StateFolder, SwitchError, other

PAUSE_SECONDS = 0.25


@dataclass(frozen=True)
class Patience:
    """How many seconds each step may take."""

    prepare: float = 3600.0  # migrations
    start: float = 300.0
    ready: float = 300.0
    smoke: float = 180.0
    proxy: float = 10.0  # until it says what the file says
    watch: float = 10.0  # how long the new colour has to keep well before the other one is let go
    drain: float = 120.0  # for what the old colour was asked before
    stop: float = 90.0
    follow: float = 600.0


class NotSwitched(SwitchError):
    """What was wrong; all is as it was before."""


class Switch:
    """One run over ``folder`` by ``commands``; ``say`` is told each step in a line, and ``settled`` the colour that
    serves alone, whenever one does."""

    def __init__(
        self,
        folder: StateFolder,
        commands: Commands,
        patience: Patience,
        say: Callable[[str], object],
        settled: Callable[[str], object],
    ) -> None:
        self._folder, self._commands, self._patience, self._say = folder, commands, patience, say
        self._settled = settled

    def run(self, *, back: bool = False) -> None:
        """To the other colour: anew, or ``back`` to what it was. Raises NotSwitched after it has gone back."""
        now = self._folder.read()
        if now is not None and now.has_second:
            if self._finish(now) and not back:
                self._say("That was what the broken-off switch was about. Run it again for another release.")
                return
            now = self._folder.read()
        if now is None:
            now = self._first_state(back)
        else:
            self._settled(now.first)  # a run that was killed may not have come to say so
        old = None if now is None else now.first
        new = COLOURS[0] if old is None else other(old)
        self._change(old, new, back)
        if not back:
            self._follow()
        self._say(f"{new} serves.")

    def _follow(self) -> None:
        if self._commands.has("drills"):
            self._say("Bringing the drills' server to the same release")
            try:
                self._commands.run("drills", seconds=self._patience.start)
            except SwitchError as error:
                self._say(f"Backups are made all the same, and restored nowhere: {error}")
        if self._commands.has("follow"):
            self._say("Bringing workers and scheduler to the same release")
            self._commands.run("follow", seconds=self._patience.follow)

    def _first_state(self, back: bool) -> Serving | None:
        """Without a file: whichever colour runs serves already, for the proxy asks both."""
        running = [colour for colour in COLOURS if self._commands.runs(colour)]
        if not running:
            if back:
                raise SwitchError("nothing has served yet: there is nothing to go back to")
            return None
        self._settle(Serving(running[0]))
        self._say(f"{running[0]} runs and serves from now on")
        return Serving(running[0])

    def _finish(self, now: Serving) -> bool:
        """What a killed run had begun: keep the new colour where it is ready, else go back to the other. True when it
        was kept."""
        first, second = now.first, other(now.first)
        self._say(f"A switch to {first} was broken off")
        why = self._commands.why_not_ready(first)
        if why is None:
            self._let_go(second, Serving(first))
            return True
        if self._commands.why_not_ready(second) is not None:
            raise SwitchError(f"neither colour is ready: start one, and run this again ({why})")
        self._say(f"{first} is not ready, {second} is: going back to it")
        self._go_back(second, first)
        return False

    def _change(self, old: str | None, new: str, back: bool) -> None:
        try:
            was_well = self._bring_up(old, new, back)
            self._hand_over(old, new, was_well)
        except (SwitchError, KeyboardInterrupt) as error:
            reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
            self._say(f"Going back: {reason}")
            serves = self._undo(old, new)
            raise NotSwitched(f"not switched, {serves}: {reason}") from None
        if old is None:
            self._settled(new)
        else:
            self._let_go(old, Serving(new))

    def _settle(self, serving: Serving) -> None:
        self._folder.write(serving)
        self._settled(serving.first)

    def _bring_up(self, old: str | None, new: str, back: bool) -> bool:
        """True when the clinic's address was well before, so that it has to be afterwards."""
        wait = self._patience
        was_well = False
        if old is not None:
            self._say(f"{old} serves; asking the proxy")
            self._expect(Serving(old))
            # Whoever goes back has seen enough of what serves.
            was_well = not back and self._is_well_outside(old)
        if self._commands.runs(new):
            self._say(f"Stopping {new}, which a former run has left")
            self._commands.run("stop", new, seconds=wait.stop)
        if not back:
            self._prepare(old)
        self._say(f"Starting {new}" + (" as it was" if back else ""))
        self._commands.run("resume" if back else "start", new, seconds=wait.start)
        self._say(f"Waiting until {new} is ready")
        self._until_ready(new)
        self._say(f"Looking at {new} (sigilo smoke)")
        self._commands.run("smoke", new, seconds=wait.smoke)
        return was_well

    def _is_well_outside(self, old: str) -> bool:
        """What was wrong with the address already, a certificate or a name, is no fault of the new release: it is said,
        and keeps nobody from it."""
        if not self._commands.has("outside"):
            return False
        self._say("Looking at the clinic's address, through the proxy")
        try:
            self._commands.run("outside", old, seconds=self._patience.smoke)
        except SwitchError as error:
            self._say(f"The address is not well already, so the new release is not judged by it: {error}")
            return False
        return True

    def _prepare(self, old: str | None) -> None:
        if old is not None and self._commands.has("beside"):
            self._say(f"Asking whether {old} can go on on the new release's schema")
            self._commands.run("beside", seconds=self._patience.smoke)
        if self._commands.has("prepare"):
            self._say("Bringing the schema up to date")
            self._commands.run("prepare", seconds=self._patience.prepare)

    def _hand_over(self, old: str | None, new: str, was_well: bool) -> None:
        serving = Serving(new, has_second=old is not None)
        self._say(f"Sending requests to {new}" + (f", and to {old} where it does not answer" if old else ""))
        self._folder.write(serving)
        self._expect(serving)
        if was_well:
            self._say("Looking at the clinic's address again")
            self._commands.run("outside", new, seconds=self._patience.smoke)
        self._say(f"Watching {new} for {self._patience.watch:g} s")
        ends_at = time.monotonic() + self._patience.watch
        while time.monotonic() < ends_at:
            why = self._commands.why_not_ready(new)
            if why is not None:
                raise SwitchError(f"{new} was ready and is no more: {why}")
            time.sleep(PAUSE_SECONDS)

    def _undo(self, old: str | None, new: str) -> str:
        """The way back of any step; says who serves. Raises SwitchError when that is not certain."""
        now = self._folder.read()
        if old is None:
            if now is not None:
                raise SwitchError(f"{new} is the only one there is and stays, though something was wrong with it")
            self._stop_if_there(new)
            return "nothing serves"
        if now == Serving(old):
            self._stop_if_there(new)
        else:
            self._go_back(old, new)
        return f"{old} serves as before"

    def _go_back(self, old: str, new: str) -> None:
        """The new colour answers what the old one can't, until the old one is seen to serve."""
        self._folder.write(Serving(old, has_second=True))
        self._expect(Serving(old, has_second=True))
        self._let_go(new, Serving(old))

    def _let_go(self, colour: str, serving: Serving) -> None:
        """Stop ``colour`` when nothing it was asked is open any more; from then on ``serving``."""
        self._say(f"Waiting for what {colour} was asked before")
        ends_at = time.monotonic() + self._patience.drain
        while self._commands.requests_under_way(colour):
            if time.monotonic() > ends_at:
                self._say(f"{colour} still answers something: it has its own time to end it")
                break
            time.sleep(PAUSE_SECONDS)
        self._settle(serving)
        self._say(f"Stopping {colour}")
        self._stop_if_there(colour)

    def _stop_if_there(self, colour: str) -> None:
        if self._commands.runs(colour):
            self._commands.run("stop", colour, seconds=self._patience.stop)

    def _until_ready(self, colour: str) -> None:
        ends_at = time.monotonic() + self._patience.ready
        while (why := self._commands.why_not_ready(colour)) is not None:
            if time.monotonic() > ends_at:
                raise SwitchError(f"{colour} was not ready within {self._patience.ready:g} s: {why}")
            if not self._commands.runs(colour):
                raise SwitchError(f"{colour} ended while it started: look at its log")
            time.sleep(PAUSE_SECONDS)

    def _expect(self, serving: Serving) -> None:
        """The proxy sees the file as it is: else it is away, or looks into another folder."""
        ends_at = time.monotonic() + self._patience.proxy
        while True:
            try:
                said = self._commands.run("serving")
            except SwitchError as error:
                said = str(error)
            if said == serving.name:
                return
            if time.monotonic() > ends_at:
                raise SwitchError(f"the proxy should send requests to {serving.name}, and says: {said}")
            time.sleep(PAUSE_SECONDS)
