"""The rules for unusual accesses as the clinic set them, and what one of them was before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import SettingVersion, User
from services.access_rules import Limits, RuleInForce, RuleKey, rules_in_force, setting_key
from services.actor import Actor
from services.permissions import Permission


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """What a rule was from ``changed_at`` on, who made it so and why."""

    version: int
    limits: Limits
    changed_at: datetime
    changed_by: str | None
    reason: str | None


def list_rules(session: Session, actor: Actor) -> list[RuleInForce]:
    """Every rule as it counts now, those too that are not the clinic's to set. Raises Forbidden."""
    actor.require(Permission.RULE_READ)
    return rules_in_force(session)


def list_rule_versions(session: Session, actor: Actor, key: RuleKey) -> list[RuleVersion]:
    """The newest first; none of a rule that was never changed. Raises Forbidden."""
    actor.require(Permission.RULE_READ)
    rows = session.execute(
        select(SettingVersion, User.full_name)
        .outerjoin(User, User.id == SettingVersion.changed_by)
        .where(SettingVersion.key == setting_key(key))
        .order_by(SettingVersion.version.desc())
    )
    return [
        RuleVersion(row.version, Limits.of_json(row.value), row.changed_at, name, row.reason) for row, name in rows
    ]
