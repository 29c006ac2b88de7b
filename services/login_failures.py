"""Count attempts to sign in per account and per address, in PostgreSQL: a flushed Redis forgets none.

An attempt is counted before its password is looked at, in a transaction of its own, so that any number of
simultaneous guesses still counts one by one; success takes it back. Accounts that don't exist are counted
like those that do (SECURITY 11, 12).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from sqlalchemy import text
from sqlalchemy.orm import Session

from config import Settings

ACCOUNT_FAILURES = 10
# A clinic shares one address: enough for everybody's typing errors, too few for a list of passwords.
ADDRESS_FAILURES = 100
LOCK_MINUTES = 15

COUNT = text(
    f"""
    INSERT INTO login_failures AS l (kind, key, failures, window_started_at, locked_until)
    VALUES (:kind, :key, 1, now(), NULL)
    ON CONFLICT (kind, key) DO UPDATE SET
        failures = CASE WHEN {{over}} THEN 1 ELSE least(l.failures + 1, 1000000) END,
        window_started_at = CASE WHEN {{over}} THEN now() ELSE l.window_started_at END,
        locked_until = CASE
            WHEN {{over}} THEN NULL
            WHEN l.locked_until IS NULL AND l.failures + 1 >= :allowed THEN now() + interval '{LOCK_MINUTES} minutes'
            ELSE l.locked_until
        END
    RETURNING failures, extract(epoch FROM l.locked_until - now())
    """.format(
        # A lock that has ended, or a count that never led to one and is old, starts afresh.
        over=f"(l.locked_until <= now() OR l.locked_until IS NULL "
        f"AND l.window_started_at <= now() - interval '{LOCK_MINUTES} minutes')"
    )
)
FORGET_ACCOUNT = text("DELETE FROM login_failures WHERE kind = 'account' AND key = ANY(:keys)")
# Of the same account under former keys: a lock outlives a change of SECRET_KEY.
LOCKED = text(
    "SELECT extract(epoch FROM max(locked_until) - now()) FROM login_failures "
    "WHERE kind = 'account' AND key = ANY(:keys) AND locked_until > now()"
)
TAKE_BACK = text(
    "UPDATE login_failures SET failures = greatest(failures - 1, 0), "
    "locked_until = CASE WHEN failures - 1 < :allowed THEN NULL ELSE locked_until END "
    "WHERE kind = 'ip' AND key = :key"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt as it was counted. ``retry_after``: seconds until the lock ends, None when it may go on."""

    account_keys: tuple[str, ...]
    address_key: str | None
    retry_after: int | None


def account_keys(settings: Settings, email: str) -> tuple[str, ...]:
    """HMACs of the e-mail address, under SECRET_KEY first: the table tells nobody which addresses were tried."""
    keys = (settings.secret_key.get_secret_value(), *settings.former_secret_keys)
    message = b"login failures\0" + email.encode()
    return tuple(hmac.new(key.encode(), message, hashlib.sha256).hexdigest() for key in keys)


def address_key(ip: str | None) -> str | None:
    """The address, of IPv6 its /64: one line of a provider has 2⁶⁴ addresses to try from."""
    if ip is None:
        return None
    address = ip_address(ip)
    if isinstance(address, IPv6Address):
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)


def count_attempt(session: Session, settings: Settings, email: str, ip: str | None) -> Attempt:
    """Count an attempt before it is made. Commit before going on."""
    accounts, address = account_keys(settings, email), address_key(ip)
    waits = [_count(session, "account", accounts[0], ACCOUNT_FAILURES)]
    if accounts[1:]:
        seconds = session.execute(LOCKED, {"keys": list(accounts[1:])}).scalar_one()
        waits.append(None if seconds is None else int(seconds) + 1)
    if address is not None:
        waits.append(_count(session, "ip", address, ADDRESS_FAILURES))
    return Attempt(accounts, address, _longest(waits))


def take_back(session: Session, attempt: Attempt) -> None:
    """The attempt succeeded: the account's count is over, the address's goes back by one."""
    session.execute(FORGET_ACCOUNT, {"keys": list(attempt.account_keys)})
    if attempt.address_key is not None:
        session.execute(TAKE_BACK, {"key": attempt.address_key, "allowed": ADDRESS_FAILURES})


def _count(session: Session, kind: str, key: str, allowed: int) -> int | None:
    """Seconds to wait when the attempt comes after the last allowed one. That one sets the lock and may go on."""
    failures, seconds = session.execute(COUNT, {"kind": kind, "key": key, "allowed": allowed}).one()
    if failures <= allowed:
        return None
    return max(1, int(seconds or 1) + 1)


def _longest(waits: Sequence[int | None]) -> int | None:
    known = [wait for wait in waits if wait is not None]
    return max(known) if known else None
