"""The clock: starts timed jobs when they are due, and wakes workers for work that waits.

It does none of the work and keeps no state: which slots were done stands in ``job_runs``, what waits in the
rows themselves. So it may die at any moment, run twice, and lose both servers meanwhile. One process leads;
others stand by and take over within seconds.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import FrameType

import psycopg
import structlog
from apscheduler.events import EVENT_SCHEDULER_STARTED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers import SchedulerNotRunningError
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from config import PRODUCT_VERSION, Principal, Settings
from integrations.broker import BrokerUnavailable, Publisher
from models.engine import make_engine
from observability.logging import configure_logging
from observability.metrics_server import serve_metrics
from observability.scheduler_metrics import LEADER
from observability.tracing import span, start_tracing, stop_tracing
from services.job_run import claim_lost, claim_slot
from services.job_schedule import JOBS, TimedJob
from tasks.clock_steps import watch_steps
from tasks.leadership import Leadership
from tasks.schedule import WATCHES, Watch

LEAD_SECONDS = 1.5
CATCH_UP_SECONDS = 60

log = structlog.get_logger()


class Scheduler:
    """One scheduler process: made, run until stopped, and then done with."""

    def __init__(
        self,
        settings: Settings,
        *,
        jobs: Sequence[TimedJob] = JOBS,
        watches: Sequence[Watch] = WATCHES,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        anew = partial(settings.url_anew, Principal.WORKER)
        self._leadership = Leadership(anew)
        LEADER.set_function(lambda: self._leadership.is_held)
        self._engine: Engine = make_engine(settings.url_for(Principal.WORKER), pool_size=1, anew=anew)
        self._publisher = Publisher(settings.redis_url.get_secret_value())
        self._jobs = jobs
        self._clinic = settings.timezone
        self._stopping = False
        self._stopped = threading.Event()
        self._now = now
        self._clock = BlockingScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            # One thread: everything here is short, and shares one connection.
            executors={"default": ThreadPoolExecutor(1)},
            # Late by however much, a job is due; late twice, it is due once. The default forgets it after 1 s.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._clock.add_job(self._lead, every(LEAD_SECONDS), next_run_time=datetime.now(UTC))
        self._clock.add_job(self._catch_up, every(CATCH_UP_SECONDS))
        for watch in watches:
            if watch.needs_mail and not settings.can_send_mail:
                continue
            self._clock.add_job(partial(self._look, watch), every(watch.seconds), name=watch.task)
        for job in jobs:
            self._clock.add_job(partial(self._start_due, job), job.trigger(self._clinic), name=job.task)

    def run(self) -> None:
        """Work until ``stop``."""
        self._clock.add_listener(lambda _: self.stop() if self._stopping else None, EVENT_SCHEDULER_STARTED)
        watch_steps(self._plan_anew, self._stopped)
        try:
            self._clock.start()
        finally:
            self._stopped.set()
            self._leadership.release()
            self._publisher.close()
            self._engine.dispose()

    def stop(self) -> None:
        """End ``run`` after what is being done at this moment: from any thread, or a signal handler."""
        self._stopping = True
        if self._clock.running:
            threading.Thread(target=self._shut_down, daemon=True).start()

    def _shut_down(self) -> None:
        with suppress(SchedulerNotRunningError):  # asked twice
            self._clock.shutdown()

    def _plan_anew(self, seconds: float) -> None:
        """The clock was set: everything looks at once, and plans the next time on the new one. A slot that was done
        stays done, and of those that were skipped the latest is caught up."""
        log.warning("the clock was set", seconds=round(seconds))
        for job in self._clock.get_jobs():
            with suppress(JobLookupError):  # the scheduler is being stopped
                job.modify(next_run_time=datetime.now(UTC))

    def _lead(self) -> None:
        """Take the lead when it is free; whoever takes it catches up on what was missed meanwhile."""
        led = self._leadership.is_held
        if self._leadership.confirm() and not led:
            log.info("this scheduler leads")
            self._catch_up()

    def _catch_up(self) -> None:
        """Start what was missed: while nobody led, while Redis was away, or because a worker died of it."""
        for job in self._jobs:
            self._start_due(job)

    def _look(self, watch: Watch) -> None:
        """Wake the workers of ``watch`` when their rows say that something waits."""
        if not self._leadership.is_held:
            return
        try:
            row = self._leadership.connection.execute(f"SELECT {watch.condition}").fetchone()
            if row == (True,):
                self._publisher.kick(watch.task)
        except (psycopg.Error, BrokerUnavailable) as error:
            log.warning("could not wake", task=watch.task, error=type(error).__name__)

    def _start_due(self, job: TimedJob) -> None:
        """Start ``job`` for its latest slot unless that was done, and for a slot whose run was lost.

        The slot is claimed, the message sent, and then the claim committed: dying in between can start a run
        twice and never skip one.
        """
        if not self._leadership.confirm():
            return
        try:
            with Session(self._engine) as session, session.begin():
                slot = job.latest_slot(self._now(), self._clinic)
                if slot is not None and not claim_slot(session, job.task, slot):
                    slot = claim_lost(session, job.task, job.lost_after)
                if slot is not None:
                    at = slot.astimezone(UTC).isoformat()
                    with span(f"start {job.task}", attributes={"sigilo.task.name": job.task, "sigilo.slot": at}):
                        self._publisher.send(job.task, slot=at)
                        log.info("started", task=job.task, slot=slot)
        except (SQLAlchemyError, BrokerUnavailable) as error:
            log.warning("could not start", task=job.task, error=type(error).__name__)


def every(seconds: float) -> IntervalTrigger:
    return IntervalTrigger(seconds=seconds, timezone="UTC")


def run_scheduler(settings: Settings) -> None:
    """Be the scheduler of this installation, or stand by for it, until SIGTERM or SIGINT."""
    configure_logging(settings.log_level)
    # A slow second skips a beat and catches up by itself: no operator needs to read of it.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    start_tracing(
        settings.otel_exporter_otlp_endpoint, ratio=settings.otel_traces_sampler_arg, service="sigilo-scheduler"
    )
    scheduler = Scheduler(settings)
    if settings.scheduler_metrics_port:
        serve_metrics(
            settings.metrics_host, settings.scheduler_metrics_port, networks=settings.metrics_networks,
            token=settings.metrics_token.get_secret_value(), version=PRODUCT_VERSION,
        )  # fmt: skip

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        scheduler.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        scheduler.run()
    finally:
        stop_tracing()
