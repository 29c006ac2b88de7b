"""Labels are closed lists: whatever addresses, methods, ids and people there are, the series stay as many."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from importlib import import_module

import pytest
from celery import Celery
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from celery_app import TASKS
from integrations.broker import QUEUES
from models.engine import Databases
from observability.metrics import REQUEST_BUCKETS, REQUEST_SECONDS
from services.job_schedule import JOBS
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast
from tests.observability.documented import documented_metrics, documented_values
from tests.web.conftest import MakeApp, new_address
from web.guards import route_table

pytestmark = pytest.mark.unmeasured

STATUSES = frozenset(
    str(status)
    for status in (
        200, 201, 202, 204, 301, 302, 303, 304, 400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 428, 429, 500, 503,
    )
)  # fmt: skip
Series = tuple[str, frozenset[tuple[str, str]]]
ROUTE_STATUSES = 6  # that one caller or another gets from one route, with one method


@pytest.fixture
def counting(make_own_app: MakeApp) -> Flask:
    """An application that has answered nobody yet."""
    return make_own_app()


def every_address(app: Flask, *, again: bool) -> Iterator[tuple[str, str]]:
    """(method, path) of every route, about ids of nothing, and of what is no route; ``again``: of those with an id."""
    for route in route_table(app).values():
        if again and "<" not in route.rule:
            continue
        path = route.rule.replace("<int:number>", str(uuid.uuid4().int % 1000))
        while "<" in path:
            head, _, tail = path.partition("<")
            path = f"{head}{uuid.uuid4()}{tail.partition('>')[2]}"
        for method in route.methods:
            if route.rule != "/logout":  # whoever asks stays who they are
                yield method, path
    for method in ("GET", "PURGE", f"X{uuid.uuid4().hex}"):
        yield method, f"/patients/{uuid.uuid4()}/{uuid.uuid4()}"
        yield method, f"/{uuid.uuid4()}"


def ask_everything(app: Flask, client: FlaskClient, headers: dict[str, str], *, again: bool) -> None:
    for method, path in every_address(app, again=again):
        client.open(path, method=method, headers=headers, environ_overrides={"REMOTE_ADDR": new_address()})


def series(sample: Sample, *, without: str = "") -> Series:
    return sample.name, frozenset(each for each in sample.labels.items() if each[0] != without)


def scraped(app: Flask) -> list[Sample]:
    answer = app.test_client().get("/metrics", environ_overrides={"REMOTE_ADDR": "127.0.0.1"})
    assert answer.status_code == 200
    return [
        sample
        for family in text_string_to_metric_families(answer.get_data(as_text=True))
        for sample in family.samples
        if family.name.startswith("sigilo_")
    ]


def test_series_are_bounded_by_the_routes_whatever_is_asked(
    counting: Flask, cast: Cast, databases: Databases
) -> None:
    browser = counting.test_client()
    browser.set_cookie("sigilo", open_session(databases, cast.auditor))

    def asked(*, again: bool) -> set[Series]:
        ask_everything(counting, counting.test_client(use_cookies=False), cast.doctor.headers, again=again)
        ask_everything(counting, browser, {"Accept": "text/html"}, again=again)
        return {series(sample) for sample in scraped(counting)}

    scraped(counting)  # a request of its own, which the next one counts
    first = asked(again=False)
    assert asked(again=True) - first == set(), "other ids, other series"
    samples = scraped(counting)
    requests = [sample for sample in samples if sample.name.startswith(REQUEST_SECONDS)]
    combinations = {(sample.labels["method"], sample.labels["url_rule"]) for sample in requests}
    assert len(requests) <= len(combinations) * ROUTE_STATUSES * (len(REQUEST_BUCKETS) + 3)
    assert combinations >= {("OTHER", "none"), ("GET", "none"), ("GET", "/patients/<uuid:patient_id>")}
    # A histogram's buckets count once: other tests of this process have run tasks of many names.
    rest = {series(each, without="le") for each in samples if not each.name.startswith(REQUEST_SECONDS)}
    others = Counter(name for name, _ in rest)
    assert max(others.values()) <= 60, others.most_common(3)
    check_values(counting, samples)


def check_values(app: Flask, samples: list[Sample]) -> None:
    """Every value of every label is one that docs/metrics.md or the code lists."""
    said = documented_values()
    by_code = {
        "url_rule": {route.rule for route in route_table(app).values()} | {"none"},
        "slot": {job.task for job in JOBS}, "queue": set(QUEUES),
    }  # fmt: skip
    assert said["", "queue"] == set(QUEUES)
    names = {metric.name: metric for metric in documented_metrics()}
    for module in TASKS:
        import_module(module)
    tasks = set(Celery("names", task_cls="tasks.base:BaseTask", set_as_current=False).tasks)
    for sample in samples:
        base = next(name for name in (sample.name, sample.name.rpartition("_")[0]) if name in names)
        assert set(sample.labels) - {"le"} == set(names[base].labels), sample
        for label, value in sample.labels.items():
            if label in ("le", "version"):
                continue
            if base == REQUEST_SECONDS and label == "status":
                assert value in STATUSES, sample
                continue
            if label == "task":
                assert value in tasks or value.startswith("tests."), sample
                continue
            allowed = by_code.get(label) or said.get((base, label)) or said["", label]
            assert value in allowed, sample
