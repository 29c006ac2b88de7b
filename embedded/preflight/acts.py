"""Real acts with a token that is made for them and revoked: what passes a quota, what the trail holds of it, and what
a cache may keep. In the name of an administrator, who sees nothing clinical."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import cast

import httpx
from sqlalchemy import select

from config import Principal, Settings
from embedded.installation import session_as
from embedded.preflight.check import FailedError, NotHereError
from embedded.preflight.ground import Ground
from models import Role, User, UserRole
from services.audit_event import SYSTEM
from services.errors import ServiceError
from services.field_encryption import field_cipher
from services.permissions import Scope
from services.token_create import MadeToken, create_token
from services.token_revoke import revoke_token

QUOTA, BEYOND = 6, 3  # requests that pass in a minute, and that do not
LIFETIME = timedelta(minutes=10)
SEALED_SECONDS = 60.0  # services/health.py calls the trail down beyond
LOOK_SECONDS = 0.5
SCOPES = (Scope.PATIENTS_READ, Scope.RECORDS_READ)
KEPT = "acts"
FIRST, REST = "/api/patients?limit=1", "/api/medical-records?limit=1"
TOLD = """
    SELECT request_id, count(*) FROM audit_trail
    WHERE request_id = ANY(%s) AND sealed_at > now() - interval '15 minutes' GROUP BY request_id
"""
OLDEST_ADMIN = (
    select(User.id, User.email)
    .join(UserRole, UserRole.user_id == User.id)
    .where(UserRole.role == Role.ADMIN.value, User.disabled_at.is_(None))
    .order_by(User.created_at, User.id)
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Acts:
    """What was answered, in the order it came: one of FIRST, the others of REST."""

    answers: tuple[httpx.Response, ...]

    @property
    def passed(self) -> list[httpx.Response]:
        return [answer for answer in self.answers if answer.status_code == httpx.codes.OK]

    @property
    def refused(self) -> list[httpx.Response]:
        return [answer for answer in self.answers if answer.status_code == httpx.codes.TOO_MANY_REQUESTS]


def acts(ground: Ground) -> Acts:
    """Done once a run, for the first check that needs them. Raises NotHereError, ServiceError, httpx.HTTPError, to each
    that does."""
    if KEPT not in ground.kept:
        try:
            ground.kept[KEPT] = _act(ground)
        except (NotHereError, ServiceError, httpx.HTTPError) as error:
            ground.kept[KEPT] = error
    known = ground.kept[KEPT]
    if isinstance(known, Exception):
        raise known
    return cast(Acts, known)


def _act(ground: Ground) -> Acts:
    with _token(ground.settings, ground.left) as token:
        headers = {"Authorization": f"Bearer {token.secret}"}
        ask = partial(ground.client.get, headers=headers)
        first = ask(FIRST)
        # At once, so that a count which is not atomic lets too many pass.
        with ThreadPoolExecutor(QUOTA + BEYOND) as threads:
            rest = list(threads.map(ask, [REST] * (QUOTA + BEYOND - 1)))
    return Acts((first, *rest))


@contextmanager
def _token(settings: Settings, left: list[str]) -> Iterator[MadeToken]:
    cipher = field_cipher(settings)
    with session_as(settings, Principal.STAFF) as session:
        found = session.execute(OLDEST_ADMIN).one_or_none()
        if found is None:
            raise NotHereError("needs an administrator's account: `sigilo user create --role ADMIN`")
        made = create_token(
            session, SYSTEM, cipher, email=found.email, name="preflight", scopes=SCOPES, role=Role.ADMIN,
            quota=f"{QUOTA}/minute", lifetime=LIFETIME,
        )  # fmt: skip
    left.append(
        "a token named preflight of the oldest administrator, revoked, its notice to them, and the events token.create,"
        f" token.revoke, patient.list and {QUOTA - 1} × medical_record.list"
    )
    try:
        yield made
    finally:
        with session_as(settings, Principal.STAFF) as session:
            revoke_token(session, SYSTEM, found.id, made.token_id)


def quota_holds(ground: Ground) -> str:
    """Of simultaneous requests exactly as many pass as the quota says; the others learn when to come again."""
    done = acts(ground)
    passed, refused = len(done.passed), len(done.refused)
    if (passed, refused) != (QUOTA, BEYOND):
        others = sorted({answer.status_code for answer in done.answers})
        raise FailedError(
            f"{passed} of {QUOTA + BEYOND} requests passed a quota of {QUOTA} (answers {others}): does Redis answer,"
            " and do all web processes use the same?"
        )
    if any(not answer.headers.get("retry-after", "").isdigit() for answer in done.refused):
        raise FailedError("an answer 429 lacks Retry-After: does a proxy take it away?")
    return f"{passed} of {QUOTA + BEYOND} simultaneous requests passed a quota of {QUOTA}, {refused} got 429"


def acts_are_in_the_trail(ground: Ground) -> str:
    """Each request that was answered is one sealed event; none tells of one that was refused."""
    done = acts(ground)
    if not done.passed:
        raise FailedError("no request was answered, so there is nothing to be told")
    wanted = [answer.headers["x-request-id"] for answer in done.passed]
    unwanted = [answer.headers["x-request-id"] for answer in done.refused]
    began = time.monotonic()
    with ground.connection(Principal.AUDITOR) as connection:
        while True:
            told = dict(connection.execute(TOLD, ([*wanted, *unwanted],)).fetchall())
            seconds = time.monotonic() - began
            if all(told.get(each) for each in wanted) or seconds > SEALED_SECONDS:
                break
            time.sleep(LOOK_SECONDS)
    wrong = [each for each in wanted if told.get(each, 0) != 1]
    if wrong:
        raise FailedError(
            f"{len(wrong)} of {len(wanted)} requests are not in the trail exactly once after {seconds:.0f} s: does the"
            " audit worker run?"
        )
    if any(told.get(each) for each in unwanted):
        raise FailedError("the trail tells of requests that were refused by quota")
    return f"{len(wanted)} requests, {len(wanted)} sealed events, within {seconds:.1f} s"


def patients_are_not_cached(ground: Ground) -> str:
    """No browser and no proxy may keep what is about patients."""
    answers = acts(ground).passed
    for answer in answers:
        said = answer.headers.get("cache-control", "")
        if "no-store" not in said:
            raise FailedError(f"{answer.url.path} says Cache-Control: {said or 'nothing'}: does a proxy change it?")
    if not answers:
        raise FailedError("no request was answered")
    return f"no-store on {len(answers)} answers about patients and records"


def endpoints_answer(ground: Ground) -> str:
    """Lists of patients and records come as JSON with their data."""
    by_path: dict[str, float] = {}
    for answer in acts(ground).passed:
        answer.json()["data"]
        by_path.setdefault(answer.url.path, answer.elapsed.total_seconds() * 1000)
    missing = {path.partition("?")[0] for path in (FIRST, REST)} - set(by_path)
    if missing:
        raise FailedError(f"{', '.join(sorted(missing))} does not answer: look at the log of that request")
    return ", ".join(f"{path} in {ms:.0f} ms" for path, ms in sorted(by_path.items()))
