"""The embedded Redis, and the forms of its address that its clients take."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from celery import Celery

from embedded.errors import EmbeddedError
from embedded.home import Home
from embedded.process import is_alive, processes_in, wait_until
from embedded.redis import NEVER_AGAIN, RedisServer
from integrations.broker import broker_url
from tests.embedded.conftest import MakeRedis

ROOT = Path(__file__).resolve().parent.parent.parent
PARENT = """
import sys, time
from pathlib import Path
from embedded.home import Home
from embedded.redis import RedisServer
server = RedisServer(Home(Path(sys.argv[1])))
server.start()
print(server.process.pid, flush=True)
time.sleep(60)
"""


def client(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_only_the_password_opens_it(own_home: Home, make_redis: MakeRedis) -> None:
    server = make_redis(own_home)
    server.start()
    with client(server) as opened:
        settings = opened.config_get("*")
        assert (settings["maxmemory-policy"], settings["appendonly"], settings["port"]) == ("noeviction", "yes", "0")
    path = server.url.partition("@")[2].partition("?")[0]
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o700
    assert stat.S_IMODE((own_home.redis / "redis.conf").stat().st_mode) == 0o600
    with (
        redis.Redis(unix_socket_path=path, retry=NEVER_AGAIN) as nobody,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        nobody.ping()


def test_celery_publishes_through_the_broker_url(own_home: Home, make_redis: MakeRedis) -> None:
    server = make_redis(own_home)
    server.start()
    application = Celery(broker=broker_url(server.url), set_as_current=False)
    application.send_task("anything", task_id="one")
    with client(server) as opened:
        assert opened.llen("celery") == 1
    with application.connection() as connection:
        assert server.url.partition(":")[2].partition("@")[0].strip("/:") not in connection.as_uri()
    application.close()


def test_broker_url_keeps_what_is_no_socket() -> None:
    assert broker_url("redis://:p@h:6380/2") == "redis://:p@h:6380/2"
    assert broker_url("rediss://:p@h:6380/2") == "rediss://:p@h:6380/2?ssl_cert_reqs=required"
    assert broker_url("unix://:p@/run/r.sock?db=3") == "redis+socket://:p@/run/r.sock?virtual_host=3"
    assert broker_url("unix:///run/r.sock") == "redis+socket:///run/r.sock?virtual_host=0"


def test_restart_and_kill_keep_data(own_home: Home, make_redis: MakeRedis) -> None:
    server = make_redis(own_home)
    server.start()
    with client(server) as opened:
        opened.set("wake-up", "1")
        # The file is written every second; what it says is what a kill leaves.
        assert wait_until(lambda: opened.info("persistence")["aof_pending_bio_fsync"] == 0, 5)
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    server.start()
    with client(server) as opened:
        assert opened.get("wake-up") == "1"
    assert server.stop()
    again = make_redis(own_home)
    again.start()
    with client(again) as opened:
        assert opened.get("wake-up") == "1"


def test_kill_of_the_parent_takes_it_along(own_home: Home, make_redis: MakeRedis) -> None:
    make_redis(own_home)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(own_home.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert wait_until(lambda: not is_alive(pid), 10)


def test_one_that_outlived_its_parent_is_stopped_before_the_next(own_home: Home, make_redis: MakeRedis) -> None:
    first = make_redis(own_home)
    first.start()
    assert first.process is not None
    with client(first) as opened:
        opened.set("wake-up", "1")
    second = make_redis(own_home)
    second.start()
    assert second.process is not None
    assert first.process.wait(10) == 0
    with client(second) as opened:
        assert opened.get("wake-up") == "1"
    assert processes_in(own_home.redis, "redis-server") == [second.process.pid]


def test_one_that_does_not_start_says_why(own_home: Home, make_redis: MakeRedis) -> None:
    server = make_redis(own_home)
    server.start()
    server.stop()
    (own_home.redis / "appendonly.aof").write_text("*3\r\n$3\r\nSET\r\nbroken")
    with (own_home.redis / "appendonly.aof").open("a") as file:
        file.write("\r\n*nonsense\r\n" * 10)
    with pytest.raises(EmbeddedError, match=r"Redis did not start .*server\.log"):
        server.start()
