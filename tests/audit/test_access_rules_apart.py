"""A rule for unusual accesses that fails stops no other, and catches up by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from config import Principal
from models import new_id
from models.engine import Databases
from services.access_rules import RULES, RuleKey
from services.access_watch import Watched, catch_up, rules_behind, watch_accesses
from services.audit_event import Event
from tests.audit.trail import as_superuser
from tests.audit.watched import (
    ZONE,
    SetRule,
    alerts,
    did,
    minutes,
    of_rule,
    opened,
    opens,
    watch,
    watch_all,
)
from tests.factories.cast import Person

pytestmark = pytest.mark.usefixtures("nothing_found_yet")
EXPORT = Event("patient.export", "patient")
# The database refuses what the rule for exports finds, or takes longer over it than it may.
BROKEN = """
CREATE FUNCTION broken_rule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.rule = 'exports' THEN
        PERFORM pg_sleep({seconds});
        RAISE 'broken';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER broken_rule BEFORE INSERT ON access_alerts FOR EACH ROW EXECUTE FUNCTION broken_rule()
"""


def next_try(superuser: str) -> list[tuple[str, int, int]]:
    """The pause of what fell behind is over; gives (rule, looked up to, failures)."""
    with as_superuser(superuser) as connection:
        return connection.execute(
            "UPDATE access_watch_behind SET next_attempt_at = now() RETURNING rule, sequence, failures"
        ).fetchall()


def tried(trail: Databases) -> Watched | None:
    with trail.session(Principal.WORKER) as session:
        return catch_up(session, ZONE)


@pytest.mark.parametrize("seconds", [0, 5])
def test_a_rule_that_fails_stops_no_other_and_catches_up_by_itself(
    trail: Databases, superuser: str, doctor: Person, set_rule: SetRule, seconds: int
) -> None:
    set_rule(RuleKey.MANY_PATIENTS, threshold=5, window_minutes=600)
    with as_superuser(superuser) as connection:
        connection.execute(BROKEN.format(seconds=seconds))
    try:
        did(trail, doctor, (minutes(0), EXPORT))
        opens(trail, doctor, 5, start=1)
        with trail.session(Principal.WORKER) as session:
            session.execute(text("SET LOCAL statement_timeout = 300"))
            assert watch_accesses(session, ZONE) == Watched(6, 1, is_done=True)
        assert [alert.rule for alert in alerts(trail)] == ["many_patients"]
        assert tried(trail) is None, "not again at once"
        did(trail, doctor, (minutes(20), EXPORT), (minutes(300), EXPORT))
        opens(trail, doctor, 1, start=21)
        assert watch_all(trail) == 0
        assert of_rule(trail, RuleKey.MANY_PATIENTS)[0].count == 6
        assert next_try(superuser) == [("exports", 0, 1)]
        with trail.session(Principal.WORKER) as session:
            session.execute(text("SET LOCAL statement_timeout = 300"))
            assert catch_up(session, ZONE) == Watched(0, 0, is_done=False)
        assert tried(trail) is None
        assert next_try(superuser) == [("exports", 0, 2)]
    finally:
        with as_superuser(superuser) as connection:
            connection.execute("DROP FUNCTION broken_rule() CASCADE")
    while tried(trail) is not None:
        pass
    found = of_rule(trail, RuleKey.EXPORTS)
    assert [(alert.started_at, alert.count) for alert in found] == [(minutes(0), 2), (minutes(300), 1)]
    assert next_try(superuser) == [], "it is where the others are"
    did(trail, doctor, (minutes(600), EXPORT))
    assert watch_all(trail) == 1


@pytest.fixture
def unreadable(superuser: str) -> Iterator[None]:
    """What the rules about kin ask of records, the worker may not read."""
    with as_superuser(superuser) as connection:
        connection.execute("REVOKE SELECT ON medical_records FROM sigilo_worker")
        yield
        connection.execute("GRANT SELECT ON medical_records TO sigilo_worker")


def fallen_behind(trail: Databases) -> set[str]:
    with trail.session(Principal.WORKER) as session:
        return set(rules_behind(session))


def test_a_rule_that_can_not_even_be_asked_stops_no_other(
    trail: Databases, superuser: str, doctor: Person, unreadable: None
) -> None:
    did(trail, doctor, (minutes(0), EXPORT), (minutes(0), opened(new_id())))
    assert watch(trail) == Watched(2, 1, is_done=True)
    assert [alert.rule for alert in alerts(trail)] == ["exports"]
    assert fallen_behind(trail) == {"family_name", "colleague"}
    next_try(superuser)
    assert tried(trail) == Watched(0, 0, is_done=False)
    did(trail, doctor, (minutes(300), EXPORT))
    assert watch(trail).alerts == 1
    assert fallen_behind(trail) == {"family_name", "colleague"}


def test_a_rule_catches_up_whatever_another_can_not_read(
    trail: Databases, superuser: str, doctor: Person, unreadable: None
) -> None:
    did(trail, doctor, (minutes(0), EXPORT))
    with trail.session(Principal.WORKER) as session:
        assert watch_accesses(session, ZONE, patience=0) == Watched(1, 0, is_done=True), "none had a turn"
    assert fallen_behind(trail) == set(RULES)
    next_try(superuser)
    while tried(trail) is not None:
        pass
    assert [alert.rule for alert in alerts(trail)] == ["exports"]
    assert fallen_behind(trail) == {"family_name", "colleague"}


class TimeIsUp(Exception):
    pass


def test_a_time_limit_is_no_fault_of_a_rule(
    trail: Databases, superuser: str, doctor: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: Any) -> int:
        raise TimeIsUp

    monkeypatch.setattr("services.access_watch.raise_alert", end)
    did(trail, doctor, (minutes(0), EXPORT))
    with pytest.raises(TimeIsUp), trail.session(Principal.WORKER) as session:
        watch_accesses(session, ZONE, ends=(TimeIsUp,))
    assert fallen_behind(trail) == set()
    assert watch(trail) == Watched(1, 0, is_done=True)
    next_try(superuser)
    with pytest.raises(TimeIsUp), trail.session(Principal.WORKER) as session:
        catch_up(session, ZONE, ends=(TimeIsUp,))
    assert next_try(superuser) == [("exports", 0, 1)], "nothing was noted"


def test_the_more_often_a_rule_fails_the_shorter_its_stretch(
    trail: Databases, superuser: str, doctor: Person
) -> None:
    did(trail, doctor, *((minutes(100 * number), EXPORT) for number in range(8)))
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE access_watch SET sequence = 8")
        connection.execute(
            "INSERT INTO access_watch_behind (rule, sequence, failures, next_attempt_at)"
            " VALUES ('exports', 0, 2, now())"
        )
    looks = []
    while True:
        with trail.session(Principal.WORKER) as session:
            looked = catch_up(session, ZONE, limit=8)
        if looked is None:
            break
        looks.append((looked.upto, looked.alerts, looked.is_done))
    assert looks == [(2, 2, False), (6, 4, False), (8, 2, True)]


def test_a_rule_that_was_turned_off_has_nothing_to_catch_up_with(
    trail: Databases, superuser: str, doctor: Person, set_rule: SetRule
) -> None:
    did(trail, doctor, (minutes(0), EXPORT))
    set_rule(RuleKey.EXPORTS, is_on=False)
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE access_watch SET sequence = 1")
        connection.execute(
            "INSERT INTO access_watch_behind (rule, sequence, next_attempt_at) VALUES ('exports', 0, now())"
        )
    assert tried(trail) == Watched(1, 0, is_done=True)
    assert (alerts(trail), next_try(superuser)) == ([], [])
