"""Look through what was sealed since the last look for accesses that the rules call unusual.

One transaction takes a stretch of the trail, raises its alerts and moves the mark (``access_watch``) that the next one
starts from: whoever dies in between did nothing, and nobody looks twice. What is new is read once, for all rules
together; of what was before, only the events of those people who are in it, as far back as a rule's window reaches.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from models import AccessWatch
from services.access_alert_write import PATIENTS_MAX, raise_alert
from services.access_bursts import Fact, Night, Window
from services.access_kin import Pair, colleagues, relatives
from services.access_rules import RULES, Counts, RuleInForce, RuleKey, rules_in_force

BATCH = 5_000  # events in one transaction; each may be a list of a hundred patients
# How much the clocks of web processes and of the database may differ.
SKEW = timedelta(minutes=10)

# SQL boolean, as the worker: something was sealed that nobody looked through.
BEHIND = "(SELECT coalesce(max(t.sequence), 0) FROM audit_trail t) > (SELECT w.sequence FROM access_watch w)"

# One pass over what is new, for all rules: person, and when the first event of each rule's happened.
NEW = f"""
    SELECT t.actor_id, {", ".join(
        f"min(t.occurred_at) FILTER (WHERE {rule.condition}) AS {rule.key}" for rule in RULES.values()
    )}
    FROM audit_trail t
    WHERE t.sequence > :after AND t.sequence <= :upto AND t.actor_id IS NOT NULL
    GROUP BY t.actor_id
"""
# The last event sealed before ``since``.
FLOOR = text("SELECT audit_trail_sealed_before(:since)")
COUNTED = {
    Counts.PATIENTS: ("t.patient_id", "t.patient_id", ""),
    Counts.LISTED: ("named.id", "named.id", "CROSS JOIN unnest(t.entity_ids) AS named (id)"),
    Counts.OF_RECORDS: (
        "r.patient_id", "r.patient_id",
        "CROSS JOIN unnest(t.entity_ids) AS named (id) JOIN medical_records r ON r.id = named.id",
    ),
    Counts.EVENTS: ("t.id", "t.patient_id", ""),
}


@dataclass(frozen=True, slots=True)
class Watched:
    """What one look did: up to which event, how many alerts it raised, and whether that was all there is."""

    upto: int
    alerts: int
    is_done: bool


def watch_accesses(session: Session, zone: tzinfo, *, limit: int = BATCH) -> Watched:
    """Look through at most ``limit`` events in ``session``'s transaction (as the worker). Nights are of ``zone``."""
    mark = session.scalars(select(AccessWatch.sequence).with_for_update(skip_locked=True)).one_or_none()
    if mark is None:
        return Watched(0, 0, is_done=True)  # another worker looks
    head = session.scalar(text("SELECT coalesce(max(sequence), 0) FROM audit_trail")) or 0
    after = min(mark, head)  # a trail that was put back to an earlier state goes on from there
    upto = min(head, after + limit)
    raised = 0
    if upto > after:
        new = _new(session, after, upto)
        for rule in rules_in_force(session):
            if rule.limits.is_on and new[rule.key]:
                raised += _apply(session, rule, new[rule.key], after, upto, zone)
    if upto != mark:
        session.execute(update(AccessWatch).values(sequence=upto))
    return Watched(upto, raised, upto == head)


def _new(session: Session, after: int, upto: int) -> dict[RuleKey, dict[uuid.UUID, datetime]]:
    """Rule → person → when the first of their new events happened."""
    found: dict[RuleKey, dict[uuid.UUID, datetime]] = defaultdict(dict)
    for row in session.execute(text(NEW), {"after": after, "upto": upto}).mappings():
        for key in RULES:
            if row[key.value] is not None:
                found[key][row["actor_id"]] = row[key.value]
    return found


def _apply(
    session: Session, rule: RuleInForce, new: dict[uuid.UUID, datetime], after: int, upto: int, zone: tzinfo
) -> int:
    """Raise what ``rule`` finds of the people in ``new``; gives how many alerts are new."""
    _grow(session, rule, new, after, upto)
    span = _span(rule, zone)
    threshold = 1 if rule.rule.is_about_one else rule.limits.threshold or 1
    facts = _facts(session, rule, {user_id: first - span.length for user_id, first in new.items()}, upto)
    if rule.rule.is_about_one:
        facts = _of_kin(session, rule, facts)
    return sum(
        raise_alert(session, rule, user_id, subject_id, burst)
        for (user_id, subject_id), theirs in facts.items()
        for burst in span.bursts(theirs, threshold)
        if _is_new(burst.facts, after)  # else it was none when it was looked through, by the rule as it was then
    )


def _grow(session: Session, rule: RuleInForce, new: dict[uuid.UUID, datetime], after: int, upto: int) -> None:
    """Open alerts take what is new and lies within their time. Counted by the database: it may be much."""
    counted, patient, unnested = COUNTED[rule.rule.counts]
    statement = f"""
        UPDATE access_alerts a SET count = more.count, last_at = more.last_at, last_sequence = more.last_sequence,
            patient_ids = coalesce(more.patients[1:{PATIENTS_MAX}], a.patient_ids)
        FROM access_alerts open CROSS JOIN LATERAL (
            SELECT count(DISTINCT {counted}) AS count, max(t.occurred_at) AS last_at, max(t.sequence) AS last_sequence,
                array_agg(DISTINCT {patient}) FILTER (WHERE {patient} IS NOT NULL) AS patients
            FROM audit_trail t {unnested}
            WHERE t.actor_id = open.user_id AND t.sequence >= open.first_sequence AND t.sequence <= :upto
            AND t.sealed_at >= open.started_at - CAST(:skew AS interval)
            AND t.occurred_at BETWEEN open.started_at AND open.ends_at
            AND (open.subject_id = open.user_id OR t.patient_id = open.subject_id) AND {rule.rule.condition}
        ) AS more
        WHERE a.id = open.id AND open.rule = :rule AND open.user_id = ANY (:people)
        AND open.reviewed_at IS NULL AND a.reviewed_at IS NULL -- the latter is looked at again after a wait
        AND open.ends_at >= :oldest AND more.last_sequence > :after AND more.count > open.count
    """
    given = {
        "rule": rule.key.value, "people": list(new), "oldest": min(new.values()), "after": after, "upto": upto,
        "skew": SKEW,
    }  # fmt: skip
    session.execute(text(statement), given)


def _is_new(facts: Sequence[Fact], after: int) -> bool:
    return any(fact.sequence > after for fact in facts)


def _span(rule: RuleInForce, zone: tzinfo) -> Window | Night:
    limits = rule.limits
    if limits.from_hour is not None and limits.until_hour is not None:
        return Night(limits.from_hour, limits.until_hour, zone)
    return Window(timedelta(minutes=limits.window_minutes or 0))


def _facts(
    session: Session, rule: RuleInForce, since: dict[uuid.UUID, datetime], upto: int
) -> dict[tuple[uuid.UUID, uuid.UUID], list[Fact]]:
    """(person, subject) → what counts of them and no alert covers, in the order of time. What happens after the review
    of an alert is not covered by it."""
    counted, patient, unnested = COUNTED[rule.rule.counts]
    subject = "t.patient_id" if rule.rule.is_about_one else "t.actor_id"
    statement = f"""
        SELECT t.actor_id, t.actor_role, t.occurred_at, t.sequence, {counted} AS counted, {patient} AS patient_id
        FROM unnest(CAST(:people AS uuid[]), CAST(:since AS timestamptz[])) AS who (id, since)
        JOIN users u ON u.id = who.id JOIN audit_trail t ON t.actor_id = u.id {unnested}
        WHERE t.sequence > :floor AND t.sequence <= :upto AND t.sealed_at >= :sealed AND t.occurred_at >= who.since
        AND {rule.rule.condition} AND NOT EXISTS (
            SELECT FROM access_alerts a WHERE a.rule = :rule AND a.user_id = t.actor_id AND a.subject_id = {subject}
            AND t.occurred_at BETWEEN a.started_at AND CASE WHEN a.reviewed_at IS NULL THEN a.ends_at ELSE a.last_at END
        ) ORDER BY t.occurred_at, t.sequence
    """
    sealed = min(since.values()) - SKEW
    given: dict[str, Any] = {
        "people": list(since), "since": list(since.values()), "upto": upto, "sealed": sealed,
        "rule": rule.key.value, "floor": session.scalar(FLOOR, {"since": sealed}) or 0,
    }  # fmt: skip
    found: dict[tuple[uuid.UUID, uuid.UUID], list[Fact]] = defaultdict(list)
    for row in session.execute(text(statement), given):
        fact = Fact(row.occurred_at, row.sequence, row.counted, row.actor_role or "", row.patient_id)
        found[row.actor_id, row.patient_id if rule.rule.is_about_one else row.actor_id].append(fact)
    return found


def _of_kin(
    session: Session, rule: RuleInForce, facts: dict[tuple[uuid.UUID, uuid.UUID], list[Fact]]
) -> dict[tuple[uuid.UUID, uuid.UUID], list[Fact]]:
    pairs = [Pair(*each) for each in facts]
    if rule.key is RuleKey.COLLEAGUE:
        kin = colleagues(session, pairs)
    else:
        kin = relatives(session, pairs, percent=rule.limits.threshold or 0)
    return {key: theirs for key, theirs in facts.items() if Pair(*key) in kin}
