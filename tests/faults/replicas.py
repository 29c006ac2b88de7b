"""Two PostgreSQL servers, the second a standby of the first by streaming replication, on ports of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from embedded.process import wait_until
from tests.cluster import STARTS_SECONDS, Server, programs_here, server_folders

FOLLOWED = "wal_receiver_status_interval = 1s\n"


class Pair:
    """The primary, and the standby that follows it."""

    def __init__(self, primary: Server, standby: Server) -> None:
        self.primary = primary
        self.standby = standby
        self._hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"

    def url(self, database: str) -> str:
        """Both hosts, as an operator writes DATABASE_URL; the same whoever leads."""
        return self.primary.url(database).replace(f"127.0.0.1:{self.primary.port}", self._hosts)

    def follow(self, *, synchronous: bool) -> None:
        """Let the standby copy the primary, and wait until it follows: from then on the primary commits nothing that
        the standby has not written, if ``synchronous``."""
        self.standby.follow(self.primary)
        self.standby.start()
        with self.primary.connect() as connection:
            names = "*" if synchronous else ""
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
            connection.execute("SELECT pg_reload_conf()")
            wanted = ("streaming", "sync" if synchronous else "async")
            state = "SELECT state, sync_state FROM pg_stat_replication"
            assert wait_until(lambda: connection.execute(state).fetchone() == wanted, STARTS_SECONDS)

    def fail_over(self) -> None:
        """The primary dies, and the standby is told to take its place."""
        self.primary.kill()
        self.primary, self.standby = self.standby, self.primary
        self.primary.promote()


@contextmanager
def replicas() -> Iterator[Pair]:
    """A running primary, and a standby that may ``follow`` it; ended and removed at the end."""
    programs = programs_here()
    with server_folders(programs.account, "primary", "standby") as (first, second):
        pair = Pair(Server(programs, first), Server(programs, second))
        try:
            pair.primary.make(FOLLOWED)
            pair.primary.start()
            yield pair
        finally:
            pair.standby.end()
            pair.primary.end()
