"""Who was refused by a quota or came near it, from where, on which route and when."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from models import ApiToken, RateLimitLog, User
from services import cursor as cursors
from services.actor import Actor
from services.permissions import Permission
from services.record_fields import time_text

PERIODS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
CALLERS_MAX = 200

Outcome = Literal["refused", "near"]


@dataclass(frozen=True, slots=True)
class LimitFilters:
    """``period``: a key of PERIODS, up to now."""

    period: str = "24h"
    bucket: str | None = None
    user_id: uuid.UUID | None = None
    outcome: Outcome | None = None

    def conditions(self, since: datetime) -> list[ColumnElement[bool]]:
        found = [RateLimitLog.occurred_at >= since]
        if self.bucket is not None:
            found.append(RateLimitLog.bucket == self.bucket)
        if self.user_id is not None:
            found.append(RateLimitLog.user_id == self.user_id)
        if self.outcome is not None:
            found.append(RateLimitLog.outcome == self.outcome)
        return found


def list_limited(
    session: Session, actor: Actor, filters: LimitFilters, *, limit: int = 50, cursor: str | None = None
) -> dict[str, Any]:
    """``{"data": […], "nextCursor"}``, newest first: occurredAt, outcome, bucket, user, token, ip, route, quota,
    retryAfter. The log keeps at most one line a second for each caller. Raises Forbidden, Invalid (cursor)."""
    actor.require(Permission.USER_MANAGE)
    bound = {
        "list": "rate-limits", "period": filters.period, "bucket": filters.bucket, "user": filters.user_id,
        "outcome": filters.outcome,
    }  # fmt: skip
    query = (
        select(RateLimitLog, User.full_name, ApiToken.name)
        .outerjoin(User, User.id == RateLimitLog.user_id)
        .outerjoin(ApiToken, ApiToken.id == RateLimitLog.token_id)
        .where(*filters.conditions(datetime.now(UTC) - PERIODS[filters.period]))
        .order_by(RateLimitLog.occurred_at.desc(), RateLimitLog.id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        at, row_id = cursors.decode(bound, cursor, datetime, uuid.UUID)
        query = query.where(
            RateLimitLog.occurred_at <= at, (RateLimitLog.occurred_at < at) | (RateLimitLog.id < row_id)
        )
    rows = session.execute(query).all()
    shown = rows[:limit]
    last = shown[-1][0] if shown else None
    return {
        "data": [_representation(line, user, token) for line, user, token in shown],
        "nextCursor": cursors.encode(bound, last.occurred_at, last.id) if last and len(rows) > limit else None,
    }


def _representation(line: RateLimitLog, user: str | None, token: str | None) -> dict[str, Any]:
    return {
        "id": str(line.id),
        "occurredAt": time_text(line.occurred_at),
        "outcome": line.outcome,
        "bucket": line.bucket,
        "userId": None if line.user_id is None else str(line.user_id),
        "user": user,
        "token": token,
        "ip": None if line.ip is None else str(line.ip),
        "route": line.route,
        "quota": line.quota,
        "retryAfter": line.retry_after,
    }


def count_refused(
    session: Session, actor: Actor, filters: LimitFilters, zone: ZoneInfo, now: datetime
) -> list[tuple[datetime, int]]:
    """How many were refused in each hour of the clinic's clock, of the last 24, or in each day for a longer period;
    oldest first, with zeros. Raises Forbidden."""
    actor.require(Permission.USER_MANAGE)
    starts = _starts(PERIODS[filters.period], now.astimezone(zone))
    unit = "hour" if starts[-1] - starts[-2] < timedelta(days=1) else "day"
    start = func.date_trunc(unit, RateLimitLog.occurred_at, str(zone))
    rows = session.execute(
        select(start, func.count())
        .where(*filters.conditions(starts[0]), RateLimitLog.outcome == "refused")
        .group_by(start)
    ).all()
    counts = {at.astimezone(UTC): count for at, count in rows}
    return [(at, counts.get(at.astimezone(UTC), 0)) for at in starts]


def _starts(period: timedelta, now: datetime) -> list[datetime]:
    """The beginnings of the hours or days of ``period`` up to ``now``, in its zone; a day is the calendar's."""
    if period > timedelta(days=1):
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return [today - timedelta(days=back) for back in reversed(range(period.days))]
    hour = now.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    return [(hour - timedelta(hours=back)).astimezone(now.tzinfo) for back in reversed(range(24))]


def list_limited_users(session: Session, actor: Actor) -> list[tuple[str, str]]:
    """(id, name) of the users that the log names, by name, to choose one from. Raises Forbidden."""
    actor.require(Permission.USER_MANAGE)
    named = select(RateLimitLog.user_id).where(RateLimitLog.user_id.is_not(None)).distinct()
    rows = session.execute(
        select(User.id, User.full_name).where(User.id.in_(named)).order_by(User.full_name, User.id).limit(CALLERS_MAX)
    )
    return [(str(user_id), name) for user_id, name in rows]
