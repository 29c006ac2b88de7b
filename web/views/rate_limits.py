"""``/rate-limits``: the quotas in force, who ran into them, and quotas of one user's or token's own."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field
from werkzeug.wrappers import Response as BaseResponse

from config import Settings
from services.errors import Invalid
from services.permissions import Permission
from services.quota import Bucket
from services.quota_holders import get_token_quota, get_user_quota, list_quota_holders
from services.rate_limit_list import LimitFilters, count_refused, list_limited, list_limited_users
from services.token_quota_set import set_token_quota
from services.user_quota_set import set_user_quota
from web.api.schemas import ApiModel
from web.authentication import current_actor
from web.clock import clock, day
from web.database import unit_of_work
from web.forms.reading import Form, filled, read_form
from web.guards import Guard, Routes
from web.health import all_findings
from web.htmx import go, show
from web.page_query import ListQuery
from web.request_body import read_query
from web.runtime import runtime

routes = Routes("rate_limits")
LIST = "/rate-limits"
USER = f"{LIST}/users/<uuid:user_id>"
TOKEN = f"{LIST}/tokens/<uuid:token_id>"


class LimitQuery(ListQuery):
    """What the log is narrowed to."""

    period: Literal["1h", "24h", "7d", "30d"] = "24h"
    bucket: Bucket | None = None
    user: uuid.UUID | None = None
    outcome: Literal["refused", "near"] | None = None


class QuotaForm(ApiModel):
    """``requests`` in each ``per``; no number: no quota of its own."""

    requests: Annotated[int, Field(ge=1, le=999_999_999)] | None = None
    per: Literal["second", "minute", "hour", "day"] = "minute"

    @property
    def quota(self) -> str | None:
        return None if self.requests is None else f"{self.requests}/{self.per}"


def list_all() -> Response:
    """Quotas in force, their holders, and the log of who ran into them."""
    query, actor, here = read_query(LimitQuery), current_actor(), runtime()
    filters = LimitFilters(query.period, query.bucket, query.user, query.outcome)
    with unit_of_work() as session:
        log = list_limited(session, actor, filters, cursor=query.cursor)
        counts = count_refused(session, actor, filters, here.settings.timezone, datetime.now(UTC))
        users = list_limited_users(session, actor)
        holders = list_quota_holders(session, actor)
    is_daily = query.period in ("7d", "30d")
    chosen = query.model_dump(mode="json", exclude={"limit", "cursor", "done"}, exclude_none=True)
    return show(
        "rate_limits/rate_limits.html",
        {"log": "rate_limits/_log.html", "more-log": "rate_limits/_more_log.html"},
        log=log,
        points=[(day(at) if is_daily else clock(at), count) for at, count in counts],
        is_daily=is_daily,
        form=filled(chosen),
        chosen=chosen,
        users=users,
        holders=holders,
        quotas=_in_force(here.settings),
        is_degraded=here.quotas.is_degraded or all_findings(here)["redis"].status != "ok",
        actor=actor,
    )


def _in_force(settings: Settings) -> list[tuple[str, str, str]]:
    """(bucket, quota, setting that says so)."""
    table = (
        (Bucket.API, "rate_limit_default"), (Bucket.PAGES, "rate_limit_pages"), (Bucket.LIVE, "rate_limit_live"),
        (Bucket.ANONYMOUS, "rate_limit_anonymous"), (Bucket.LOGIN, "rate_limit_login"),
    )  # fmt: skip
    return [(bucket.value, getattr(settings, name), name.upper()) for bucket, name in table]


def user_quota(user_id: uuid.UUID) -> Response:
    return _user(user_id)


def set_user(user_id: uuid.UUID) -> BaseResponse:
    form = read_form(QuotaForm)
    if form.body is not None:
        try:
            with unit_of_work() as session:
                set_user_quota(session, current_actor(), runtime().cipher, user_id, form.body.quota)
            return go(LIST, done="quota-saved")
        except Invalid as error:
            form.refuse(error)
    return _user(user_id, form)


def token_quota(token_id: uuid.UUID) -> Response:
    return _token(token_id)


def set_token(token_id: uuid.UUID) -> BaseResponse:
    form = read_form(QuotaForm)
    if form.body is not None:
        try:
            with unit_of_work() as session:
                set_token_quota(session, current_actor(), runtime().cipher, token_id, form.body.quota)
            return go(LIST, done="quota-saved")
        except Invalid as error:
            form.refuse(error)
    return _token(token_id, form)


def _user(user_id: uuid.UUID, form: Form[Any] | None = None) -> Response:
    with unit_of_work() as session:
        holder = get_user_quota(session, current_actor(), user_id)
    return _quota_page("user", holder, runtime().settings.rate_limit_default, form)


def _token(token_id: uuid.UUID, form: Form[Any] | None = None) -> Response:
    with unit_of_work() as session:
        holder = get_token_quota(session, current_actor(), token_id)
    return _quota_page("token", holder, holder["userQuota"] or runtime().settings.rate_limit_default, form)


def _quota_page(kind: str, holder: dict[str, Any], fallback: str, form: Form[Any] | None) -> Response:
    if form is None:
        number, _, per = (holder["quota"] or "/minute").partition("/")
        form = filled({"requests": number, "per": per})
    status = 422 if form.errors else 200
    return show("rate_limits/quota.html", status=status, kind=kind, holder=holder, fallback=fallback, form=form)


GUARD = Guard(Permission.USER_MANAGE)
routes.add(LIST, view=list_all, guard=GUARD)
routes.add(USER, view=user_quota, guard=GUARD)
routes.add(USER, view=set_user, guard=GUARD, methods=["POST"])
routes.add(TOKEN, view=token_quota, guard=GUARD)
routes.add(TOKEN, view=set_token, guard=GUARD, methods=["POST"])
