"""``/access-rules``: from how much on an access is unusual, as the clinic sets it."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, request
from pydantic import Field, StringConstraints
from werkzeug.wrappers import Response as BaseResponse

from services.access_rule_list import list_rule_versions, list_rules
from services.access_rule_set import REASON_MAX, set_rule
from services.access_rules import Limits, RuleKey
from services.access_watch import rules_behind
from services.errors import Invalid, NotFound
from services.permissions import Permission
from web.api.schemas import ApiModel
from web.authentication import current_actor
from web.database import unit_of_work
from web.forms.reading import Form, filled, read_form
from web.guards import Guard, Routes
from web.htmx import go, show
from web.runtime import runtime

routes = Routes("access_rules")
LIST = "/access-rules"
HOURS = [(hour, f"{hour:02d}:00") for hour in range(24)]
NO_RULE = "There is no such rule."


class RuleForm(ApiModel):
    """The numbers that the rule has, and why they change. ``version`` is the one that was shown."""

    rule: Annotated[RuleKey, Field(strict=False)]
    is_on: bool = False
    threshold: int | None = None
    window_minutes: int | None = None
    from_hour: int | None = None
    until_hour: int | None = None
    reason: Annotated[str, StringConstraints(max_length=REASON_MAX)] = ""
    version: int | None = None

    @property
    def limits(self) -> Limits:
        return Limits(self.is_on, self.threshold, self.window_minutes, self.from_hour, self.until_hour)


def rules() -> Response:
    """All rules, or the one that is named, with its form for who may change it."""
    wanted = request.args.get("rule")
    if wanted is not None:
        return _rule(wanted)
    with unit_of_work() as session:
        listed = list_rules(session, current_actor())
        return show("access_rules/rules.html", rules=listed, behind=rules_behind(session), may_change=_may_change())


def change() -> BaseResponse:
    form = read_form(RuleForm)
    if form.body is not None:
        try:
            with unit_of_work() as session:
                set_rule(
                    session, current_actor(), runtime().cipher, form.body.rule, form.body.limits,
                    reason=form.body.reason, version=form.body.version,
                )  # fmt: skip
        except Invalid as error:
            form.refuse(error)
        else:
            return go(LIST, done="rule-saved")
    return _rule(form.values.get("rule", ""), form)


def _rule(name: str, form: Form[Any] | None = None) -> Response:
    actor = current_actor()
    with unit_of_work() as session:
        rule = next((each for each in list_rules(session, actor) if each.key.value == name), None)
        if rule is None:
            raise NotFound(NO_RULE)
        versions = list_rule_versions(session, actor, rule.key)
    return show(
        "access_rules/rule.html", status=200 if form is None else 422, rule=rule, versions=versions, hours=HOURS,
        may_change=_may_change() and not rule.rule.is_fixed,
        form=filled(rule.limits.as_json()) if form is None else form,
    )  # fmt: skip


def _may_change() -> bool:
    """Auditors see the rules, and who changed them; they review what the rules find."""
    return current_actor().may(Permission.USER_MANAGE)


routes.add(LIST, view=rules, guard=Guard(Permission.RULE_READ))
# Whoever turns the watch off sits at the keyboard themselves.
routes.add(LIST, view=change, guard=Guard(Permission.USER_MANAGE, step_up=True), methods=["POST"])
