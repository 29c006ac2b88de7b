"""The rules that tell an unusual access from a usual one: one table, and what the clinic made of it.

A rule says which events of the trail it looks at, what of them it counts for each person, and from how much on, within
how long, it raises an alert. The clinic's numbers stand in the settings (key ``access_rule.<rule>``); a rule that it
never changed has those of this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Setting

PREFIX = "access_rule."


class RuleKey(StrEnum):
    """A rule by the name that alerts, settings and pages know it by."""

    MANY_PATIENTS = "many_patients"
    MANY_LISTED = "many_listed"
    RECORDS_LISTED = "records_listed"
    AT_NIGHT = "at_night"
    FAMILY_NAME = "family_name"
    COLLEAGUE = "colleague"
    BREAK_GLASS_BURST = "break_glass_burst"
    REFUSALS = "refusals"
    EXPORTS = "exports"
    RULES_CHANGED = "rules_changed"


class Counts(StrEnum):
    """What is counted, each once."""

    PATIENTS = "patients"  # whose data were opened
    LISTED = "listed"  # patients that lists and searches named, or whose visits lists did
    OF_RECORDS = "of_records"  # patients of the records that lists and searches showed
    EVENTS = "events"


class Unit(StrEnum):
    """What a threshold is in. PERCENT: of the patients who share a name, above which it is nobody's family's."""

    PATIENTS = "patients"
    EVENTS = "events"
    PERCENT = "percent"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the clinic may set. None: the rule has no such number. Hours are the clinic's clock, ``from_hour``
    included and ``until_hour`` not, across midnight where it is the greater."""

    is_on: bool = True
    threshold: int | None = None
    window_minutes: int | None = None
    from_hour: int | None = None
    until_hour: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "isOn": self.is_on, "threshold": self.threshold, "windowMinutes": self.window_minutes,
            "fromHour": self.from_hour, "untilHour": self.until_hour,
        }  # fmt: skip

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Limits:
        return cls(
            value["isOn"], value["threshold"], value["windowMinutes"], value["fromHour"], value["untilHour"]
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """``condition``: SQL over ``t`` (an event of the trail). ``is_about_one``: each patient is an alert of its own, at
    once. ``is_fixed``: not the clinic's to change."""

    key: RuleKey
    condition: str
    counts: Counts
    unit: Unit
    limits: Limits
    is_about_one: bool = False
    is_fixed: bool = False


# Of a person's own record, what they do as its patient is nobody else's business.
AS_STAFF = "t.outcome = 'success' AND t.actor_role <> 'PATIENT'"
# A patient's data opened, as opposed to the patient standing in a list.
OPENED = f"""
    {AS_STAFF} AND t.patient_id IS NOT NULL AND t.action IN (
        'patient.read', 'patient.lookup', 'patient.export', 'medical_record.read', 'medical_record.read_versions',
        'medical_record.print', 'medical_record.list', 'allergy.list', 'allergy.read', 'visit.read')
"""
# These say what opened the door; whoever wrote a record or treats the patient has a reason to look. A list of one
# patient's records or allergies does not say it, nor does looking somebody up by a number: there it is asked who
# treated them then.
OUTSIDE = f"""
    {AS_STAFF} AND t.patient_id IS NOT NULL AND (
        t.action IN ('patient.read', 'medical_record.read', 'medical_record.read_versions', 'medical_record.print',
            'patient.export', 'visit.read', 'allergy.read')
        AND t.basis IN ('outside-care-team', 'break-glass', 'reception', 'admin')
        OR t.action IN ('medical_record.list', 'medical_record.search', 'allergy.list', 'patient.lookup')
        AND NOT EXISTS (
            SELECT FROM care_team_members m WHERE m.patient_id = t.patient_id AND m.user_id = t.actor_id
            AND m.added_at <= t.occurred_at
            AND t.occurred_at < least(coalesce(m.expires_at, 'infinity'), coalesce(m.removed_at, 'infinity'))
        ) AND NOT EXISTS (
            SELECT FROM medical_records w WHERE w.patient_id = t.patient_id AND w.author_id = t.actor_id
        )
    )
"""
# Who signs in with a wrong password is not who the account belongs to; those are counted elsewhere (login_failures).
REFUSED = "t.outcome = 'refused' AND t.action <> 'session.login'"

RULES: Mapping[RuleKey, Rule] = {
    rule.key: rule
    for rule in (
        Rule(RuleKey.MANY_PATIENTS, OPENED, Counts.PATIENTS, Unit.PATIENTS, Limits(threshold=40, window_minutes=60)),
        Rule(
            RuleKey.MANY_LISTED,
            f"{AS_STAFF} AND (t.entity_type = 'patient' AND t.action IN ('patient.list', 'patient.search')"
            " OR t.action = 'visit.list')",
            Counts.LISTED, Unit.PATIENTS, Limits(threshold=500, window_minutes=60),
        ),
        Rule(
            RuleKey.RECORDS_LISTED,
            f"{AS_STAFF} AND t.entity_type = 'medical_record'"
            " AND t.action IN ('medical_record.list', 'medical_record.search')",
            Counts.OF_RECORDS, Unit.PATIENTS, Limits(threshold=300, window_minutes=60),
        ),
        Rule(
            RuleKey.AT_NIGHT, OPENED, Counts.PATIENTS, Unit.PATIENTS,
            Limits(threshold=10, from_hour=22, until_hour=6),
        ),
        Rule(
            RuleKey.FAMILY_NAME, OUTSIDE, Counts.EVENTS, Unit.PERCENT, Limits(threshold=1, window_minutes=1440),
            is_about_one=True,
        ),
        Rule(
            RuleKey.COLLEAGUE, OUTSIDE, Counts.EVENTS, Unit.EVENTS, Limits(window_minutes=1440), is_about_one=True
        ),
        Rule(
            RuleKey.BREAK_GLASS_BURST, "t.outcome = 'success' AND t.action = 'patient.break_glass'", Counts.EVENTS,
            Unit.EVENTS, Limits(threshold=3, window_minutes=1440),
        ),
        Rule(RuleKey.REFUSALS, REFUSED, Counts.EVENTS, Unit.EVENTS, Limits(threshold=20, window_minutes=60)),
        Rule(
            RuleKey.EXPORTS, f"{AS_STAFF} AND t.action IN ('patient.export', 'trail.export')", Counts.EVENTS,
            Unit.EVENTS, Limits(threshold=1, window_minutes=60),
        ),
        # Whoever could turn the watch off would do so first.
        Rule(
            RuleKey.RULES_CHANGED, "t.outcome = 'success' AND t.action = 'access_rule.update'", Counts.EVENTS,
            Unit.EVENTS, Limits(threshold=1, window_minutes=60), is_fixed=True,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RuleInForce:
    """A rule with the clinic's numbers. ``version`` 0: those of the table above."""

    rule: Rule
    limits: Limits
    version: int

    @property
    def key(self) -> RuleKey:
        return self.rule.key


def rules_in_force(session: Session) -> list[RuleInForce]:
    """Every rule as it counts now, in the order of the table."""
    kept = {row.key: row for row in session.scalars(select(Setting).where(Setting.key.startswith(PREFIX)))}
    return [_in_force(rule, kept.get(setting_key(rule.key))) for rule in RULES.values()]


def setting_key(key: RuleKey) -> str:
    return f"{PREFIX}{key.value}"


def _in_force(rule: Rule, kept: Setting | None) -> RuleInForce:
    if kept is None or rule.is_fixed:
        return RuleInForce(rule, rule.limits, 0)
    return RuleInForce(rule, Limits.of_json(kept.value), kept.version)
