"""Quotas: SECURITY 27, with Redis there, gone and hung."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from pydantic import SecretStr
from sqlalchemy import text, update

from config import Principal, Settings
from embedded.home import Home
from embedded.redis import RedisServer
from integrations.redis_store import TIMEOUT_SECONDS, RedisStore, StoreUnavailable
from models import Role, User
from models.engine import Databases
from services.quota import LocalCounter, Quotas
from tests.factories.cast import Person, make_person
from tests.web.conftest import Browser, Login, MakeApp
from tests.web.live_server import LiveServer, live_server


@pytest.fixture(scope="module")
def web(settings: Settings, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that counts in a Redis of its own: every test comes from one address, and the others' are counted."""
    counters = RedisServer(Home(tmp_path_factory.mktemp("counters")), durable=False)
    counters.start()
    try:
        with live_server(settings, home, RATE_LIMIT_ANONYMOUS="30/minute", REDIS_URL=counters.url) as server:
            yield server
    finally:
        counters.destroy()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, to be stopped and killed."""
    server = RedisServer(Home(tmp_path), durable=False)
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.process.send_signal(signal.SIGCONT)
    server.destroy()


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)


def at_once(count: int, act: Callable[[], Any]) -> list[Any]:
    """The results of ``act`` done ``count`` times, all starting at the same moment."""
    barrier = threading.Barrier(count)

    def run(_: int) -> Any:
        barrier.wait()
        return act()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def integrator(databases: Databases, quota: str | None = None, user_quota: str | None = None) -> Person:
    """A doctor's token: with a quota of its own, or its user's, or neither."""
    person = make_person(databases, Role.DOCTOR, "Integradora", quota=quota or "1/minute")
    with databases.session(Principal.MIGRATOR) as session:
        if quota is None:
            session.execute(text("UPDATE api_tokens SET quota = NULL WHERE id = :id"), {"id": person.token_id})
        session.execute(update(User.__table__).where(User.id == person.id).values(quota=user_quota))  # type: ignore[arg-type]
    return person


def test_security_27_exactly_n_of_10n_simultaneous_requests_pass(web: LiveServer, databases: Databases) -> None:
    person = integrator(databases)
    answers = at_once(200, lambda: web.get("/api/me", person.headers))
    assert Counter(answer[0] for answer in answers) == {200: 20, 429: 180}
    left = sorted(int(re.findall(r"r=(\d+)", answer[1]["ratelimit"])[0]) for answer in answers if answer[0] == 200)
    assert left == list(range(20))


def test_security_27_exactly_n_anonymous_requests_pass_per_address(web: LiveServer) -> None:
    answers = at_once(100, lambda: web.get("/api/openapi.json"))
    assert Counter(answer[0] for answer in answers) == {200: 30, 429: 70}
    assert web.get("/livez")[0] == 200
    assert web.get("/api/health")[0] in (200, 503), "health is not limited"


def test_security_27_retry_after_is_true(app: Flask, databases: Databases) -> None:
    person = integrator(databases, "2/second")
    client = Browser(app).client
    statuses = [client.get("/api/me", headers=person.headers) for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [200, 200, 429]
    refused = statuses[-1]
    assert refused.mimetype == "application/problem+json"
    assert refused.get_json()["type"] == "urn:sigilo:problem:quota-exceeded"
    assert refused.headers["Retry-After"] == "1"
    until = time.monotonic() + int(refused.headers["Retry-After"])
    wait_for(lambda: time.monotonic() >= until)
    assert client.get("/api/me", headers=person.headers).status_code == 200


def test_rate_limit_headers_tell_what_is_left(app: Flask, databases: Databases) -> None:
    person = integrator(databases)
    client = Browser(app).client
    first = client.get("/api/me", headers=person.headers).headers
    second = client.get("/api/me", headers=person.headers).headers
    assert first["RateLimit-Policy"] == second["RateLimit-Policy"] == '"default";q=20;w=60'
    assert first["RateLimit"] == '"default";r=19;t=60'
    assert re.fullmatch(r'"default";r=18;t=(60|59)', second["RateLimit"])


def test_security_27_a_tokens_quota_replaces_its_users_which_replaces_the_default(
    app: Flask, databases: Databases
) -> None:
    client = Browser(app).client

    def limit(person: Person) -> str:
        return client.get("/api/me", headers=person.headers).headers["RateLimit-Policy"]

    assert limit(integrator(databases)) == '"default";q=20;w=60'
    assert limit(integrator(databases, user_quota="7/hour")) == '"default";q=7;w=3600'
    assert limit(integrator(databases, "3/day", user_quota="7/hour")) == '"default";q=3;w=86400'
    shown = client.get("/api/me", headers=integrator(databases, "3/day").headers).get_json()
    assert shown["quota"] == {"limit": 3, "windowSeconds": 86400}


def test_security_27_quotas_of_two_users_are_apart(app: Flask, databases: Databases) -> None:
    one, other = integrator(databases, "1/minute"), integrator(databases, "1/minute")
    client = Browser(app).client
    statuses = [client.get("/api/me", headers=person.headers).status_code for person in (one, one, other)]
    assert statuses == [200, 429, 200]


def test_pages_have_a_humane_bucket_of_their_own(make_own_app: MakeApp, make_login: Callable[..., Login]) -> None:
    app = make_own_app(rate_limit_pages="5/minute", rate_limit_default="1/minute")
    browser, login = Browser(app), make_login()
    browser.sign_in(login)
    statuses = [browser.get("/").status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    refused = browser.get("/")
    assert refused.mimetype == "text/html"
    assert 0 < int(refused.headers["Retry-After"]) <= 60


def test_the_sign_in_form_has_a_bucket_of_its_own(make_own_app: MakeApp) -> None:
    app = make_own_app(rate_limit_login="2/minute", rate_limit_anonymous="1000/minute")
    browser = Browser(app)
    statuses = [browser.sign_in(Login(f"{uuid.uuid4().hex}@example.org", "x")).status_code for _ in range(3)]
    assert statuses == [401, 401, 429]
    assert browser.get("/login").status_code == 200
    assert Browser(app).sign_in(Login(f"{uuid.uuid4().hex}@example.org", "x")).status_code == 401


def test_unknown_addresses_count_as_anonymous(make_own_app: MakeApp) -> None:
    client = Browser(make_own_app(rate_limit_anonymous="2/minute")).client
    assert [client.get(f"/nothing-{n}").status_code for n in range(3)] == [404, 404, 429]


def test_tokens_that_are_none_count_as_anonymous(make_own_app: MakeApp) -> None:
    client = Browser(make_own_app(rate_limit_anonymous="2/minute")).client
    headers = {"Authorization": "Bearer sgl_guess"}
    assert [client.get("/api/me", headers=headers).status_code for _ in range(3)] == [401, 401, 429]


def test_refusals_and_near_refusals_are_logged_but_not_each(app: Flask, databases: Databases) -> None:
    person = integrator(databases, "10/minute")
    client = Browser(app).client
    for _ in range(30):
        client.get("/api/me", headers=person.headers)
    with databases.session(Principal.MIGRATOR) as session:
        rows = session.execute(
            text(
                "SELECT bucket, outcome, route, quota, retry_after FROM rate_limit_log WHERE token_id = :t ORDER BY id"
            ),
            {"t": person.token_id},
        ).all()
    outcomes = Counter(row.outcome for row in rows)
    assert outcomes["near"] == 1
    assert 1 <= outcomes["refused"] <= 5, "about one row a second, not one a request"
    assert {(row.bucket, row.route, row.quota) for row in rows} == {("api", "/api/me", "10/60s")}
    assert all((row.retry_after is None) == (row.outcome == "near") for row in rows)


def test_a_window_starts_with_its_first_request(redis_url: str) -> None:
    store, key = RedisStore(redis_url), f"test:{uuid.uuid4()}"
    first, second = store.count(key, 60_000), store.count(key, 60_000)
    assert (first.count, first.left_ms, second.count) == (1, 60_000, 2)
    redis.Redis.from_url(redis_url).script_flush()
    assert store.count(key, 60_000).count == 3, "a restarted Redis has forgotten the script"
    store.close()


def test_a_restarted_redis_is_no_outage(own_redis: RedisServer) -> None:
    store = RedisStore(own_redis.url)
    assert store.count("x", 1000).count == 1
    own_redis.stop()
    own_redis.start()
    assert store.count("x", 1000).count == 1
    assert not store.is_down
    store.close()


def test_security_27_without_redis_quotas_are_stricter_never_open_never_an_error(
    own_redis: RedisServer, make_own_app: MakeApp, databases: Databases
) -> None:
    app = make_own_app(redis_url=SecretStr(own_redis.url), web_workers=2)
    client, person = Browser(app).client, integrator(databases)
    own_redis.stop()
    answers = [client.get("/api/me", headers=person.headers) for _ in range(30)]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200] * 5 + [429] * 25, "a quarter of 20 in each of two processes"
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=5;w=60'
    assert "Retry-After" in answers[-1].headers
    own_redis.start()
    store = app.extensions["sigilo"].store
    wait_for(lambda: not store.is_down)
    assert client.get("/api/me", headers=person.headers).headers["RateLimit-Policy"] == '"default";q=20;w=60'


def test_security_27_a_hung_redis_delays_one_request_and_no_other(
    own_redis: RedisServer, make_own_app: MakeApp, databases: Databases
) -> None:
    assert own_redis.process is not None
    app = make_own_app(redis_url=SecretStr(own_redis.url))
    client, person = Browser(app).client, integrator(databases, "1000000/minute")
    assert client.get("/api/me", headers=person.headers).status_code == 200
    os.kill(own_redis.process.pid, signal.SIGSTOP)

    def timed() -> float:
        started = time.perf_counter()
        assert client.get("/api/me", headers=person.headers).status_code == 200
        return time.perf_counter() - started

    first = timed()
    assert TIMEOUT_SECONDS <= first < 1.0
    others = sorted(timed() for _ in range(200))
    assert others[len(others) // 2] < 0.05
    assert sum(seconds >= TIMEOUT_SECONDS for seconds in others) <= 2, "only a busy machine may delay one"
    os.kill(own_redis.process.pid, signal.SIGCONT)
    wait_for(lambda: not app.extensions["sigilo"].store.is_down)
    assert client.get("/readyz").get_json()["status"] in ("ok", "degraded")


def test_a_broken_circuit_fails_at_once_until_redis_answers(own_redis: RedisServer) -> None:
    store = RedisStore(own_redis.url, probe_interval=0.05)
    own_redis.stop()
    with pytest.raises(StoreUnavailable):
        store.count("x", 1000)
    started = time.perf_counter()
    for _ in range(1000):
        with pytest.raises(StoreUnavailable):
            store.count("x", 1000)
    assert time.perf_counter() - started < TIMEOUT_SECONDS * 10
    own_redis.start()
    wait_for(lambda: not store.is_down)
    assert store.count("x", 1000).count == 1
    store.close()


def test_the_local_counter_is_shared_by_threads_and_bounded() -> None:
    counter = LocalCounter(max_keys=100)
    windows = at_once(50, lambda: counter.count("one", 60_000).count)
    assert sorted(windows) == list(range(1, 51))
    for number in range(1000):
        counter.count(str(number), 60_000)
    assert len(counter._windows) <= 101


class Away:
    is_down = True

    def count(self, key: str, window_ms: int) -> Any:
        raise StoreUnavailable


@pytest.mark.parametrize(("limit", "processes", "passing"), [(20, 1, 10), (20, 2, 5), (1, 2, 1), (1000, 4, 125)])
def test_all_processes_together_let_half_the_quota_pass(limit: int, processes: int, passing: int) -> None:
    quotas = Quotas(Away(), processes=processes)
    allowed = sum(quotas.spend("k", limit, 60).allowed for _ in range(limit + 10))
    assert allowed == passing
