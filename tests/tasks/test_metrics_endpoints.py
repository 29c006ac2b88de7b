"""What workers and schedulers tell Prometheus: right when children die, and for those who may read it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from http.client import HTTPConnection
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from config import PRODUCT_VERSION
from embedded.serving import worker_environment
from integrations.broker import Publisher
from models.advisory_locks import SCHEDULER as SCHEDULER_LOCK
from observability.metrics_server import serve_metrics
from tests import plain_http
from tests.audit.trail import as_superuser
from tests.tasks.conftest import SCHEDULER, WORKER, Process, free_port, wait_for

Start = Callable[[tuple[str, ...]], Process]
DONE = 'sigilo_task_seconds_count{outcome="success",task="audit.partitions"}'
POOL = 'sigilo_db_pool_size{principal="worker"}'


def read(port: int) -> dict[str, float]:
    """Series → value; empty while nobody answers."""
    try:
        body = plain_http.get(f"http://127.0.0.1:{port}/metrics").text
    except httpx.TransportError:
        return {}
    assert list(text_string_to_metric_families(body))
    lines = (line.rpartition(" ") for line in body.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


def test_what_a_killed_child_counted_stays_and_what_it_held_does_not(
    start: Start, environment: dict[str, str], superuser: str, stoppable_url: str, tmp_path: Path
) -> None:
    port = free_port()
    environment |= worker_environment(environment | {"WORKER_METRICS_PORT": str(port)}, tmp_path)
    worker = start(WORKER)
    publisher = Publisher(stoppable_url)
    publisher.send("audit.partitions")
    wait_for(lambda: read(port).get(DONE) == 1)
    (child,) = worker.children
    assert read(port)[POOL] > 0
    child.kill()
    wait_for(lambda: POOL not in read(port))
    assert read(port)[DONE] == 1, "counters never go back"
    publisher.send("audit.partitions")
    wait_for(lambda: read(port)[DONE] == 2)
    assert read(port)[POOL] == 4, "of the new child alone"


def test_a_scheduler_says_whether_it_leads(start: Start, environment: dict[str, str], superuser: str) -> None:
    port = free_port()
    environment["SCHEDULER_METRICS_PORT"] = str(port)
    with as_superuser(superuser) as another:
        another.execute("SELECT pg_advisory_lock(%s)", (SCHEDULER_LOCK,))
        start(SCHEDULER)
        wait_for(lambda: read(port).get("sigilo_scheduler_leader") == 0)
    wait_for(lambda: read(port)["sigilo_scheduler_leader"] == 1)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)

    def serve(*networks: str, token: str = "") -> int:
        port = free_port()
        stop = serve_metrics(
            "127.0.0.1", port, networks=tuple(map(ip_network, networks)), token=token, version=PRODUCT_VERSION
        )
        assert stop is not None
        return port

    return serve


def test_the_networks_or_the_token_open_it_and_a_proxy_closes_it(served: Callable[..., int]) -> None:
    address = f"http://127.0.0.1:{served('127.0.0.0/8', token='a token of Prometheus')}"
    with_token = {"Authorization": "Bearer a token of Prometheus"}
    forwarded = {"X-Forwarded-For": "127.0.0.1"}
    assert httpx.get(f"{address}/metrics").status_code == 200
    assert httpx.get(f"{address}/metrics", headers=forwarded).status_code == 403
    assert httpx.get(f"{address}/metrics", headers=forwarded | with_token).status_code == 200
    assert httpx.get(f"{address}/else").status_code == 404
    assert httpx.post(f"{address}/metrics").status_code == 404
    elsewhere = f"http://127.0.0.1:{served('10.9.0.0/16', token='a token of Prometheus')}/metrics"
    assert httpx.get(elsewhere).status_code == 403
    assert httpx.get(elsewhere, headers={"Authorization": "Bearer another"}).status_code == 403
    assert f'sigilo_build_info{{version="{PRODUCT_VERSION}"}} 1.0' in httpx.get(elsewhere, headers=with_token).text


def test_no_child_keeps_the_port_and_one_slow_reader_holds_up_no_other(served: Callable[..., int]) -> None:
    port = served("127.0.0.0/8")
    slow = HTTPConnection("127.0.0.1", port)
    slow.connect()
    assert read(port)
    slow.close()
    child = os.fork()
    if child == 0:
        held = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
                if Path(f"/proc/self/fd/{number}").exists()]  # fmt: skip
        tcp = Path("/proc/self/net/tcp").read_text()
        inodes = re.findall(rf":{port:04X} 00000000:0000 0A (?:\S+ ){{3}} *\S+ +\S+ +(\d+)", tcp)
        os._exit(0 if inodes and not any(f"socket:[{inode}]" in held for inode in inodes) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_port_that_is_taken_stops_no_work(served: Callable[..., int]) -> None:
    port = served("127.0.0.0/8")
    assert serve_metrics("127.0.0.1", port, networks=(), token="", version=PRODUCT_VERSION) is None


def test_workers_of_one_machine_have_ports_and_folders_of_their_own(tmp_path: Path) -> None:
    assert worker_environment({"A": "1"}, tmp_path) == {"A": "1"}
    assert worker_environment({"WORKER_METRICS_PORT": "0"}, tmp_path, number=2) == {"WORKER_METRICS_PORT": "0"}
    made = [worker_environment({"WORKER_METRICS_PORT": "9301"}, tmp_path, number=number) for number in (0, 2)]
    assert [each["WORKER_METRICS_PORT"] for each in made] == ["9301", "9303"]
    folders = [Path(each["PROMETHEUS_MULTIPROC_DIR"]) for each in made]
    assert len(set(folders)) == 2 and all(folder.stat().st_mode & 0o777 == 0o700 for folder in folders)
    (folders[0] / "counter_1.db").write_bytes(b"old")
    worker_environment({"WORKER_METRICS_PORT": "9301"}, tmp_path)
    assert not list(folders[0].iterdir()), "a worker begins at nothing"
