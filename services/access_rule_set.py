"""Set the numbers of a rule for unusual accesses, for a stated reason. That they changed is itself an alert."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.orm import Session

from models import Setting, SettingVersion, new_id
from services.access_rules import RULES, Limits, Rule, RuleKey, Unit, setting_key
from services.actor import Actor
from services.audit_event import Event, changes_between, record
from services.errors import Conflict, FieldError, Invalid
from services.field_encryption import FieldCipher
from services.permissions import Permission

REASON_MIN, REASON_MAX = 5, 500
THRESHOLD_MAX, PERCENT_MAX = 100_000, 100
WINDOW_MAX = 7 * 24 * 60  # a week; further back would be read anew at every look
TOO_LITTLE = "say in a few words why"


def set_rule(
    session: Session, actor: Actor, cipher: FieldCipher, key: RuleKey, limits: Limits, *, reason: str,
    version: int | None,
) -> None:  # fmt: skip
    """``version`` is the one that the reader changed, 0 for a rule that nobody changed yet, None for whichever it is.
    What is the same already changes nothing.

    Raises Forbidden (not an admin), Conflict (changed meanwhile), Invalid (a number that is missing, out of its range,
    or none of this rule's; no reason).
    """
    actor.require(Permission.USER_MANAGE)
    rule = RULES[key]
    _check(rule, limits, reason)
    setting = session.get(Setting, setting_key(key), with_for_update=True, populate_existing=True)
    before = rule.limits if setting is None else Limits.of_json(setting.value)
    current = 0 if setting is None else setting.version
    if version not in (None, current):
        raise Conflict("Somebody changed this rule meanwhile. Load the page again, and decide then.")
    if limits == before:
        return
    now = datetime.now(UTC)
    if setting is None:
        setting = Setting(key=setting_key(key), value=limits.as_json(), version=1)
        session.add(setting)
    setting.value, setting.updated_by, setting.updated_at = limits.as_json(), actor.user_id, now
    session.flush()
    session.add(
        SettingVersion(
            key=setting.key, version=setting.version, value=setting.value, changed_by=actor.user_id, changed_at=now,
            reason=reason.strip(),
        )
    )  # fmt: skip
    session.flush()
    event_id = new_id()
    names = {name: f"{key.value}.{name}" for name in limits.as_json()}
    changes = changes_between(
        cipher.digest_key, event_id,
        {names[name]: value for name, value in before.as_json().items()},
        {names[name]: value for name, value in limits.as_json().items()},
    )  # fmt: skip
    event = Event(
        "access_rule.update", "access_rule", from_version=current, to_version=setting.version, changes=changes
    )
    record(session, actor, event, event_id=event_id)


def _check(rule: Rule, limits: Limits, reason: str) -> None:
    """Raises Invalid."""
    if rule.is_fixed:
        raise Invalid("This rule is not the clinic's to change.")
    wrong = []
    top = PERCENT_MAX if rule.unit is Unit.PERCENT else THRESHOLD_MAX
    numbers = (
        ("threshold", limits.threshold, rule.limits.threshold, 1, top),
        ("windowMinutes", limits.window_minutes, rule.limits.window_minutes, 1, WINDOW_MAX),
        ("fromHour", limits.from_hour, rule.limits.from_hour, 0, 23),
        ("untilHour", limits.until_hour, rule.limits.until_hour, 0, 23),
    )
    for name, given, example, low, high in numbers:
        if example is None and given is not None:
            wrong.append(FieldError(f"/{name}", "this rule has no such number"))
        elif example is not None and (given is None or not low <= given <= high):
            wrong.append(FieldError(f"/{name}", f"a whole number from {low} to {high}"))
    if not wrong and limits.from_hour is not None and limits.from_hour == limits.until_hour:
        wrong.append(FieldError("/untilHour", "another hour than the one it begins at"))
    if len(reason.strip()) < REASON_MIN:
        wrong.append(FieldError("/reason", TOO_LITTLE))
    elif len(reason.strip()) > REASON_MAX:
        wrong.append(FieldError("/reason", f"at most {REASON_MAX} characters"))
    if wrong:
        raise Invalid("The request has a field that can't be accepted.", wrong)
