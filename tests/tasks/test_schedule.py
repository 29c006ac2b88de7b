"""The tables of timed work and of Celery's settings say what they should."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from integrations.broker import QUEUES, queue_of
from services.job_schedule import JOBS, TimedJob
from tasks.schedule import WATCHES

moments = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(now=moments, minute=st.integers(0, 59))
def test_the_latest_hourly_slot_is_within_the_last_hour(now: datetime, minute: int) -> None:
    slot = TimedJob("a.job", f"{minute} * * * *", timedelta(hours=1)).latest_slot(now)
    assert slot is not None
    assert slot.minute == minute
    assert now - timedelta(hours=1) < slot <= now


@given(now=moments)
def test_the_latest_yearly_slot_is_found(now: datetime) -> None:
    slot = TimedJob("a.job", "0 0 1 1 *", timedelta(hours=1)).latest_slot(now)
    assert slot == datetime(now.year, 1, 1, tzinfo=UTC)


@given(now=moments, minute=st.integers(0, 59))
def test_the_next_slot_is_the_one_after_now(now: datetime, minute: int) -> None:
    slot = TimedJob("a.job", f"{minute} * * * *", timedelta(hours=1)).next_slot(now)
    assert slot is not None
    assert slot.minute == minute
    assert now < slot <= now + timedelta(hours=1)


def test_a_slot_that_never_comes_has_no_latest() -> None:
    assert TimedJob("a.job", "0 0 30 2 *", timedelta(hours=1)).latest_slot(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.fixture
def app(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Celery:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    from celery_app import app

    app.loader.import_default_modules()
    return app


def test_everything_scheduled_is_a_task_with_a_queue(app: Celery) -> None:
    for name in {entry.task for entry in (*JOBS, *WATCHES)}:
        assert name in app.tasks
        assert app.amqp.router.route({}, name)["queue"].name == queue_of(name)
    assert {queue.name for queue in app.conf.task_queues} == set(QUEUES)


def test_a_message_stays_hidden_longer_than_any_task_may_run(app: Celery) -> None:
    limits = [task.time_limit or app.conf.task_time_limit for task in app.tasks.values()]
    assert app.conf.broker_transport_options["visibility_timeout"] > max(limits)
    assert app.conf.result_backend_transport_options["visibility_timeout"] > max(limits)
    assert app.conf.visibility_timeout > max(limits)


def test_workers_take_json_only_and_keep_no_results(app: Celery) -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"
    assert app.conf.task_ignore_result is True
    assert app.conf.result_backend is None


def test_work_survives_the_process_that_took_it(app: Celery) -> None:
    assert app.conf.task_acks_late is True
    assert app.conf.task_reject_on_worker_lost is True
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.broker_connection_max_retries is None
