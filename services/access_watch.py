"""Look through what was sealed since the last look for accesses that the rules call unusual.

One transaction takes a stretch of the trail, raises its alerts and moves the mark (``access_watch``) that the next one
starts from: whoever dies in between did nothing, and nobody looks twice. What is new is read once, for all rules
together; of what was before, only the events of those people who are in it, as far back as a rule's window reaches.

A rule that fails stops no other: it falls behind, with a mark of its own, and catches up by itself in smaller stretches
(``catch_up``). While it can't, that is failed work for an operator to see. When the read for all of them fails, each
reads for itself.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

import structlog
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models import AccessWatch, AccessWatchBehind
from services.access_alert_write import PATIENTS_MAX, raise_alert
from services.access_bursts import Fact, Night, Window
from services.access_kin import Pair, colleagues, relatives
from services.access_rules import RULES, Counts, RuleInForce, RuleKey, rules_in_force

BATCH = 5_000  # events in one transaction; each may be a list of a hundred patients
# How much the clocks of web processes and of the database may differ.
SKEW = timedelta(minutes=10)

# SQL boolean, as the worker: something was sealed that nobody looked through.
BEHIND = "(SELECT coalesce(max(t.sequence), 0) FROM audit_trail t) > (SELECT w.sequence FROM access_watch w)"
# SQL boolean, as the worker: a rule fell behind, and it is time to try it again.
CATCH_UP_DUE = "EXISTS (SELECT FROM access_watch_behind b WHERE b.next_attempt_at <= now())"
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=30)

# Seconds that rules may take which read for themselves; those that had no turn by then fall behind. The task may take
# three times as long.
PATIENCE = 45.0

log = structlog.get_logger()

# The last event sealed before ``since``.
FLOOR = text("SELECT audit_trail_sealed_before(:since)")
COUNTED = {
    Counts.PATIENTS: ("t.patient_id", "t.patient_id", ""),
    Counts.LISTED: (
        "named.id", "named.id",
        """CROSS JOIN LATERAL (
            SELECT listed.id FROM unnest(t.entity_ids) AS listed (id) WHERE t.entity_type = 'patient'
            UNION ALL SELECT v.patient_id FROM visits v WHERE t.entity_type = 'visit' AND v.id = ANY (t.entity_ids)
        ) AS named (id)""",
    ),
    Counts.OF_RECORDS: (
        "r.patient_id", "r.patient_id",
        "CROSS JOIN unnest(t.entity_ids) AS named (id) JOIN medical_records r ON r.id = named.id",
    ),
    Counts.EVENTS: ("t.id", "t.patient_id", ""),
}


# What of an event ``COUNTED`` looks at. Who asks for the same page again and again has many events and few of these.
COUNTED_OF = {
    Counts.PATIENTS: "t.patient_id", Counts.LISTED: "t.entity_type, t.entity_ids", Counts.OF_RECORDS: "t.entity_ids",
    Counts.EVENTS: "t.id",
}  # fmt: skip

# Person → when the first of their new events happened.
New = dict[uuid.UUID, datetime]
# Exceptions that no rule is at fault for, and that end the whole look: a queue's time limit is one.
Ends = tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True)
class Watched:
    """What one look did: up to which event, how many alerts it raised, and whether that was all there is."""

    upto: int
    alerts: int
    is_done: bool


def watch_accesses(
    session: Session, zone: tzinfo, *, limit: int = BATCH, ends: Ends = (), patience: float = PATIENCE
) -> Watched:
    """Look through at most ``limit`` events in ``session``'s transaction (as the worker). Nights are of ``zone``."""
    mark = session.scalars(select(AccessWatch.sequence).with_for_update(skip_locked=True)).one_or_none()
    if mark is None:
        return Watched(0, 0, is_done=True)  # another worker looks
    head = session.scalar(text("SELECT coalesce(max(sequence), 0) FROM audit_trail")) or 0
    after = min(mark, head)  # a trail that was put back to an earlier state goes on from there
    upto = min(head, after + limit)
    raised = 0
    if upto > after:
        behind = set(session.scalars(select(AccessWatchBehind.rule)))
        rules = [rule for rule in rules_in_force(session) if rule.limits.is_on and rule.key not in behind]
        deadline = time.monotonic() + patience
        new = _new_for_all(session, rules, after, upto, ends)
        for rule in rules:
            found: int | None
            if new is not None:
                found = _tried(session, rule, new[rule.key], after, upto, zone, ends) if new[rule.key] else 0
            else:
                is_late = time.monotonic() >= deadline
                found = None if is_late else _tried(session, rule, None, after, upto, zone, ends)
            if found is None:
                session.add(AccessWatchBehind(rule=rule.key.value, sequence=after))
            raised += found or 0
    if upto != mark:
        session.execute(update(AccessWatch).values(sequence=upto))
    return Watched(upto, raised, upto == head)


def catch_up(session: Session, zone: tzinfo, *, limit: int = BATCH, ends: Ends = ()) -> Watched | None:
    """One stretch of the next rule that fell behind and is due, in ``session``'s transaction; None when none is.

    The more often it failed the shorter the stretch and the longer the pause. A rule that is off has nothing to catch
    up with.
    """
    mark = session.scalars(select(AccessWatch.sequence).with_for_update(skip_locked=True)).one_or_none()
    due = select(AccessWatchBehind).where(AccessWatchBehind.next_attempt_at <= func.now())
    row = session.scalars(due.order_by(AccessWatchBehind.next_attempt_at).limit(1)).one_or_none()
    if mark is None or row is None:
        return None
    rules = {rule.key.value: rule for rule in rules_in_force(session)}
    rule, after = rules.get(row.rule), min(row.sequence, mark)
    upto, raised = mark, 0
    if rule is not None and rule.limits.is_on and after < mark:
        upto = min(mark, after + max(1, limit >> row.failures))
        found = _tried(session, rule, None, after, upto, zone, ends)
        if found is None:
            row.failures += 1
            row.next_attempt_at = func.now() + min(FIRST_PAUSE * 2 ** min(row.failures, 12), LONGEST_PAUSE)
            return Watched(after, 0, is_done=False)
        raised = found
    if upto == mark:
        session.delete(row)
    else:
        row.sequence, row.failures = upto, max(1, row.failures - 1)
    return Watched(upto, raised, upto == mark)


def rules_behind(session: Session) -> list[str]:
    """The keys of the rules that have failed and not caught up yet."""
    return list(session.scalars(select(AccessWatchBehind.rule).order_by(AccessWatchBehind.rule)))


def new_statement(keys: Iterable[RuleKey]) -> str:
    """One pass over what is new: person, and when the first event of each rule's happened."""
    firsts = (f"min(t.occurred_at) FILTER (WHERE {RULES[key].condition}) AS {key}" for key in keys)
    return f"""
        SELECT t.actor_id, {", ".join(firsts)} FROM audit_trail t
        WHERE t.sequence > :after AND t.sequence <= :upto AND t.actor_id IS NOT NULL
        GROUP BY t.actor_id
    """


def _new(session: Session, keys: Sequence[RuleKey], after: int, upto: int) -> dict[RuleKey, New]:
    found: dict[RuleKey, New] = defaultdict(dict)
    if keys:
        for row in session.execute(text(new_statement(keys)), {"after": after, "upto": upto}).mappings():
            for key in keys:
                if row[key.value] is not None:
                    found[key][row["actor_id"]] = row[key.value]
    return found


def _new_for_all(
    session: Session, rules: Sequence[RuleInForce], after: int, upto: int, ends: Ends
) -> dict[RuleKey, New] | None:
    """None when that failed, for whichever rule's sake."""
    try:
        with session.begin_nested():
            return _new(session, [rule.key for rule in rules], after, upto)
    except Exception as error:  # each rule is tried by itself
        if _is_no_rules_fault(error, ends):
            raise
        log.warning("what is new can't be read for all rules", after=after, upto=upto, cause=_cause(error))
        return None


def _tried(
    session: Session, rule: RuleInForce, new: New | None, after: int, upto: int, zone: tzinfo, ends: Ends
) -> int | None:
    """As ``_apply``, reading what is new for this rule alone where it is not given; None, with nothing of it done, when
    that failed."""
    try:
        with session.begin_nested():
            if new is None:
                new = _new(session, [rule.key], after, upto)[rule.key]
            return _apply(session, rule, new, after, upto, zone) if new else 0
    except Exception as error:  # whatever it is, the other rules go on, and this one is tried again
        if _is_no_rules_fault(error, ends):
            raise
        log.warning("a rule for accesses failed", rule=rule.key.value, after=after, upto=upto, cause=_cause(error))
        return None


def _is_no_rules_fault(error: Exception, ends: Ends) -> bool:
    """What ends the whole look; or a lost connection, over which nothing can be noted."""
    return isinstance(error, ends) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def _cause(error: Exception) -> str:
    return type(getattr(error, "orig", None) or error).__name__


def _apply(session: Session, rule: RuleInForce, new: New, after: int, upto: int, zone: tzinfo) -> int:
    """Raise what ``rule`` finds of the people in ``new``; gives how many alerts are new."""
    _grow(session, rule, new, after, upto)
    span = _span(rule, zone)
    threshold = 1 if rule.rule.is_about_one else rule.limits.threshold or 1
    since = {user_id: first - span.length for user_id, first in new.items()}
    if threshold > 1:
        since = _enough(session, rule, since, upto, threshold)
    facts = _facts(session, rule, since, upto) if since else {}
    if rule.rule.is_about_one:
        facts = _of_kin(session, rule, facts)
    return sum(
        raise_alert(session, rule, user_id, subject_id, burst)
        for (user_id, subject_id), theirs in facts.items()
        for burst in span.bursts(theirs, threshold)
        if _is_new(burst.facts, after)  # else it was none when it was looked through, by the rule as it was then
    )


def _grow(session: Session, rule: RuleInForce, new: New, after: int, upto: int) -> None:
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
    # What has doubled since somebody was told of it is told again, as what is newest; so no alert is told often.
    again = """
        UPDATE access_alerts SET number = DEFAULT, told_count = count
        WHERE rule = :rule AND user_id = ANY (:people) AND reviewed_at IS NULL AND count >= 2 * told_count
    """
    given = {
        "rule": rule.key.value, "people": list(new), "oldest": min(new.values()), "after": after, "upto": upto,
        "skew": SKEW,
    }  # fmt: skip
    session.execute(text(statement), given)
    session.execute(text(again), given)


def _is_new(facts: Sequence[Fact], after: int) -> bool:
    return any(fact.sequence > after for fact in facts)


def _span(rule: RuleInForce, zone: tzinfo) -> Window | Night:
    limits = rule.limits
    if limits.from_hour is not None and limits.until_hour is not None:
        return Night(limits.from_hour, limits.until_hour, zone)
    return Window(timedelta(minutes=limits.window_minutes or 0))


def _enough(
    session: Session, rule: RuleInForce, since: dict[uuid.UUID, datetime], upto: int, threshold: int
) -> dict[uuid.UUID, datetime]:
    """Those of ``since`` who have ``threshold`` things in all that a burst of theirs could be made of. Nearly nobody
    has, and what the others did, an integrator's every look at a list for an hour, need not leave the database."""
    counted, _, unnested = COUNTED[rule.rule.counts]
    statement = f"""
        SELECT t.actor_id
        FROM (SELECT DISTINCT t.actor_id, {COUNTED_OF[rule.rule.counts]} {_uncovered(rule)}) t {unnested}
        GROUP BY t.actor_id HAVING count(DISTINCT {counted}) >= :threshold
    """
    given = _bounds(session, rule, since, upto) | {"threshold": threshold}
    return {user_id: since[user_id] for user_id in session.scalars(text(statement), given)}


def _facts(
    session: Session, rule: RuleInForce, since: dict[uuid.UUID, datetime], upto: int
) -> dict[tuple[uuid.UUID, uuid.UUID], list[Fact]]:
    """(person, subject) → what counts of them and no alert covers, in the order of time."""
    counted, patient, unnested = COUNTED[rule.rule.counts]
    statement = f"""
        SELECT t.actor_id, t.actor_role, t.occurred_at, t.sequence, {counted} AS counted, {patient} AS patient_id
        {_uncovered(rule, unnested)} ORDER BY t.occurred_at, t.sequence
    """
    found: dict[tuple[uuid.UUID, uuid.UUID], list[Fact]] = defaultdict(list)
    for row in session.execute(text(statement), _bounds(session, rule, since, upto)):
        fact = Fact(row.occurred_at, row.sequence, row.counted, row.actor_role or "", row.patient_id)
        found[row.actor_id, row.patient_id if rule.rule.is_about_one else row.actor_id].append(fact)
    return found


def _uncovered(rule: RuleInForce, unnested: str = "") -> str:
    """SQL from FROM on: events ``t`` of ``:people`` that the rule looks at and no alert covers. What happens after the
    review of an alert is not covered by it."""
    subject = "t.patient_id" if rule.rule.is_about_one else "t.actor_id"
    return f"""
        FROM unnest(CAST(:people AS uuid[]), CAST(:since AS timestamptz[])) AS who (id, since)
        JOIN users u ON u.id = who.id JOIN audit_trail t ON t.actor_id = u.id {unnested}
        WHERE t.sequence > :floor AND t.sequence <= :upto AND t.sealed_at >= :sealed AND t.occurred_at >= who.since
        AND {rule.rule.condition} AND NOT EXISTS (
            SELECT FROM access_alerts a WHERE a.rule = :rule AND a.user_id = t.actor_id AND a.subject_id = {subject}
            AND t.occurred_at BETWEEN a.started_at AND CASE WHEN a.reviewed_at IS NULL THEN a.ends_at ELSE a.last_at END
        )
    """


def _bounds(session: Session, rule: RuleInForce, since: dict[uuid.UUID, datetime], upto: int) -> dict[str, Any]:
    """The parameters of ``_uncovered``."""
    sealed = min(since.values()) - SKEW
    return {
        "people": list(since), "since": list(since.values()), "upto": upto, "sealed": sealed,
        "rule": rule.key.value, "floor": session.scalar(FLOOR, {"since": sealed}) or 0,
    }  # fmt: skip


def _of_kin(
    session: Session, rule: RuleInForce, facts: dict[tuple[uuid.UUID, uuid.UUID], list[Fact]]
) -> dict[tuple[uuid.UUID, uuid.UUID], list[Fact]]:
    pairs = [Pair(*each) for each in facts]
    if rule.key is RuleKey.COLLEAGUE:
        kin = colleagues(session, pairs)
    else:
        kin = relatives(session, pairs, percent=rule.limits.threshold or 0)
    return {key: theirs for key, theirs in facts.items() if Pair(*key) in kin}
