"""Engines: one small pool per kind of principal, each connecting as its own database role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.orm import Session

from models.connection import GONE
from models.raw_connection import RawConnection
from models.raw_connections import RawConnections, is_closed_by_server
from models.watched_pool import PoolWatch, WatchedPool

# A statement that takes longer than this is a fault, not a slow page; imports and backups set their own.
STATEMENT_TIMEOUT_MS = 15_000
LOCK_TIMEOUT_MS = 5_000
# Connections that one engine keeps; what many threads want at once beyond that is closed when it comes back. The
# server has 100 for all processes together: two web processes keep at most 62 of them, if every principal was ever
# as busy as that.
KEPT_BY_ENGINE = 5

Anew = Callable[[], str]
Driver = TypeVar("Driver", bound=psycopg.Connection[Any])


def make_connect(
    kind: type[Driver], url: str, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS, *, anew: Anew | None = None
) -> Callable[[], Driver]:
    """What opens a connection of ``kind`` to a libpq ``url`` (``postgresql://…``) with our time-outs.

    ``anew`` gives the URL as it is by now, and is asked when a connection fails: then a password may be changed under
    a running process, the secret's file first and the server's role after it, and no connection fails meanwhile.
    """
    here = [url]

    def open_(to: str) -> Driver:
        return kind.connect(
            to, connect_timeout=5, application_name="sigilo", client_encoding="UTF8", prepare_threshold=3,
            autocommit=True, **GONE,
        )  # fmt: skip

    def connect() -> Driver:
        known = here[0]
        try:
            connection = open_(known)
        except psycopg.OperationalError:
            fresh = known if anew is None else anew()
            if fresh == known:
                raise
            connection = open_(fresh)
            here[0] = fresh
        try:
            connection.execute(
                f"SET statement_timeout = {int(statement_timeout_ms)}; SET lock_timeout = {LOCK_TIMEOUT_MS};"
                "SET idle_in_transaction_session_timeout = 60000; SET TimeZone = 'UTC'; SET DateStyle = 'ISO';"
                # Our statements want the same plan whatever their values, and planning an audited list anew costs
                # more than running it (measured: 2.1 ms against 0.8 ms).
                "SET plan_cache_mode = force_generic_plan"
            )
        except BaseException:
            connection.close()
            raise
        connection.autocommit = False
        return connection

    return connect


def make_engine(
    url: str,
    *,
    pool_size: int = 5,
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    anew: Anew | None = None,
    watch: PoolWatch | None = None,
) -> Engine:
    """An engine over psycopg 3 for a libpq ``url``, of at most ``pool_size`` + 2 connections at once; ``anew`` as in
    ``make_connect``. ``watch`` is told how its pool is used.

    An idle connection that the server has closed is found before use without a round trip, so a restarted
    server costs a reconnect and not an error.
    """
    engine = create_engine(
        "postgresql+psycopg://",
        creator=make_connect(psycopg.Connection, url, statement_timeout_ms, anew=anew),
        poolclass=WatchedPool,
        pool_size=min(pool_size, KEPT_BY_ENGINE),
        max_overflow=pool_size + 2 - min(pool_size, KEPT_BY_ENGINE),
        pool_timeout=5,
        pool_recycle=1800,
        hide_parameters=True,  # parameters are patient data; exception texts end up in logs
    )
    event.listen(engine, "checkout", _refuse_closed)
    event.listen(engine, "handle_error", _leave_a_standby)
    if watch is not None and isinstance(engine.pool, WatchedPool):
        engine.pool.begin(watch)
    return engine


class CommitUncertain(OperationalError):
    """The server went away between COMMIT and its answer: what was to be stored is stored whole, or not at all."""


def commit(session: Session) -> None:
    """Commit, and tell a server that went away meanwhile from one that did so before. Raises CommitUncertain."""
    session.flush()
    try:
        session.commit()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise CommitUncertain(None, None, error.orig or error) from error
        raise


def driver_connection(session: Session) -> psycopg.Connection[Any]:
    """psycopg's own connection under ``session``, in its transaction."""
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)  # noqa: S101  (the engine's driver)
    return connection


def _refuse_closed(connection: psycopg.Connection[Any], *_: Any) -> None:
    if is_closed_by_server(connection):
        raise DisconnectionError("the server closed this connection")


def _leave_a_standby(context: ExceptionContext) -> None:
    """A server that takes no writes is none of ours any more: what is connected to it is closed."""
    if isinstance(context.original_exception, ReadOnlySqlTransaction):
        context.is_disconnect = True


class Databases:
    """The engines of one process by principal name, made at first use (and so after a fork).

    Raw connections that lie idle are bounded over all principals: a request uses two (who calls, then the read), so
    twice the threads' number are enough.
    """

    def __init__(
        self,
        urls: dict[str, str],
        *,
        pool_size: int = 5,
        anew: Callable[[str], str] | None = None,
        watch: Callable[[str], PoolWatch] | None = None,
    ) -> None:
        """``anew``: a principal's URL as it is by now (see ``make_connect``); ``watch``: who is told how its engine's
        pool is used."""
        self._urls = urls
        self._anew = anew
        self._watch = watch
        self._pool_size = pool_size
        self._engines: dict[str, Engine] = {}
        self._raw: dict[str, RawConnections] = {}

    def engine(self, principal: str) -> Engine:
        engine = self._engines.get(principal)
        if engine is None:
            made = make_engine(
                self._urls[principal], pool_size=self._pool_size, anew=self._anew_of(principal),
                watch=None if self._watch is None else self._watch(principal),
            )  # fmt: skip
            engine = self._engines.setdefault(principal, made)
        return engine

    @contextmanager
    def session(self, principal: str) -> Iterator[Session]:
        """One transaction: committed when the block ends, rolled back when it raises. Raises CommitUncertain."""
        with Session(self.engine(principal), expire_on_commit=False) as session:
            yield session
            commit(session)

    @contextmanager
    def autocommit(self, principal: str) -> Iterator[RawConnection]:
        """A raw connection whose every statement is its own transaction: the way of audited reads."""
        raw = self._raw.get(principal)
        if raw is None:
            connect = make_connect(RawConnection, self._urls[principal], anew=self._anew_of(principal))
            raw = self._raw.setdefault(principal, RawConnections(connect, keep=self._pool_size))
        connection = raw.take()
        try:
            yield connection
        except ReadOnlySqlTransaction:
            connection.close()  # see ``_leave_a_standby``
            raise
        finally:
            raw.give_back(connection)
            self._bound_idle()

    def holding(self, principal: str, connection: RawConnection) -> Databases:
        """These databases, but that ``principal``'s raw connection is ``connection``, which stays open."""
        return _Holding(self, principal, connection)

    def _anew_of(self, principal: str) -> Anew | None:
        return None if self._anew is None else partial(self._anew, principal)

    def _bound_idle(self) -> None:
        kept = list(self._raw.values())
        while sum(map(len, kept)) > 2 * self._pool_size:
            max(kept, key=len).drop_oldest()

    def dispose(self) -> None:
        for engine in self._engines.values():
            engine.dispose()
        for raw in self._raw.values():
            raw.close()
        self._engines.clear()
        self._raw.clear()


class _Holding(Databases):
    """Another's engines and connections, and one connection that stays with its holder."""

    def __init__(self, others: Databases, principal: str, connection: RawConnection) -> None:
        self._others = others
        self._principal = principal
        self._connection = connection

    def engine(self, principal: str) -> Engine:
        return self._others.engine(principal)

    @contextmanager
    def autocommit(self, principal: str) -> Iterator[RawConnection]:
        if principal == self._principal:
            yield self._connection
        else:
            with self._others.autocommit(principal) as connection:
                yield connection

    def dispose(self) -> None:
        self._others.dispose()
