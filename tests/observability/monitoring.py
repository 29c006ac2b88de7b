"""Debian's Prometheus and exporters on free ports of loopback, until the end of the block."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import orjson

from embedded.process import spawn, stop, wait_until
from tests.installation import free_port
from tests.observability.alert_rules import ROOT, RULES, programs

OBSERVABILITY = ROOT / "observability"
ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
STARTS_SECONDS = 20.0
SEEN_SECONDS = 20.0
STOP_STEPS = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
QUERIES = OBSERVABILITY / "postgres-exporter" / "queries.yml"
STATEMENTS = OBSERVABILITY / "postgres-exporter" / "statements.yml"
# As compose.monitoring.yml has it, but for collectors that Debian's older exporter has not: what the other one counts
# is not counted twice.
NOTHING_ELSE = ("--disable-default-metrics", "--disable-settings-metrics", "--no-collector.database")
RUNBOOKS = "https://runbooks.example.org"


@dataclass(frozen=True)
class Prometheus:
    client: httpx.Client  # at its API

    def ask(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        """Its answer's series. Raises AssertionError with what it says is wrong."""
        answer = self.client.get(path, params=parameters).json()
        assert answer["status"] == "success", answer.get("error")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def until(self, query: str, least: float) -> None:
        """Wait until ``query`` gives at least ``least``."""

        def is_there() -> bool:
            return any(float(each["value"][1]) >= least for each in self.ask("query", query=query))

        assert wait_until(is_there, SEEN_SECONDS), f"{query} stays below {least}: {self.ask('query', query=query)}"

    def targets_away(self) -> list[str]:
        """What does not answer, with why."""
        found = self.client.get("targets").json()["data"]["activeTargets"]
        return [f"{each['scrapeUrl']}: {each['lastError'] or 'not asked'}" for each in found if each["health"] != "up"]


@contextmanager
def running(
    folder: Path, program: str, *arguments: str, port: int, flag: str = "--web.listen-address=", **environment: str
) -> Iterator[int]:
    """``program`` listening on ``port``, once it listens there."""
    log = folder / f"{program}-{port}.log"
    process = spawn(
        [programs() / program, f"{flag}127.0.0.1:{port}", *arguments],
        environment=ENVIRONMENT | environment, folder=folder, log=log,
    )  # fmt: skip
    try:
        assert wait_until(lambda: process.poll() is not None or _answers(port), STARTS_SECONDS), log.read_text()
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        stop(process, STOP_STEPS)


@contextmanager
def exporters(
    folder: Path, *, database_url: str, statements_url: str, redis_url: str, known: Path
) -> Iterator[dict[str, list[str]]]:
    """Those of PostgreSQL, its statements, Redis, this machine and the certificate ``known``: what to ask, by job."""
    redis = urlsplit(redis_url)
    blackbox = folder / "blackbox.yml"
    http = {"preferred_ip_protocol": "ip4", "tls_config": {"ca_file": str(known)}}
    blackbox.write_bytes(orjson.dumps({"modules": {"readyz": {"prober": "http", "timeout": "5s", "http": http}}}))
    with ExitStack() as stack:
        ports = {
            "postgres": stack.enter_context(
                running(
                    folder, "prometheus-postgres-exporter", f"--extend.query-path={QUERIES}",
                    port=free_port(), DATA_SOURCE_NAME=database_url,
                )
            ),
            "statements": stack.enter_context(
                running(
                    folder, "prometheus-postgres-exporter", *NOTHING_ELSE, f"--extend.query-path={STATEMENTS}",
                    port=free_port(), DATA_SOURCE_NAME=statements_url,
                )
            ),
            "redis": stack.enter_context(
                running(
                    folder, "prometheus-redis-exporter", port=free_port(), flag="-web.listen-address=",
                    REDIS_ADDR=f"unix://{redis.path}", REDIS_PASSWORD=unquote(redis.password or ""),
                )
            ),
            "node": stack.enter_context(running(folder, "prometheus-node-exporter", port=free_port())),
            "blackbox": stack.enter_context(
                running(folder, "prometheus-blackbox-exporter", f"--config.file={blackbox}", port=free_port())
            ),
        }  # fmt: skip
        targets = {job: [f"127.0.0.1:{port}"] for job, port in ports.items()}
        # Prometheus finds both under one name, as in compose.
        targets["postgres"] += targets.pop("statements")
        yield targets


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, Sequence[str]], *, public: str) -> Iterator[Prometheus]:
    """Asks ``targets``, by job, every second, and whether the address ``public`` answers."""
    port = free_port()
    file = folder / "prometheus.yml"
    file.write_bytes(orjson.dumps(_configuration(targets, public) | {"rule_files": [str(RULES / "*.yml")]}))
    with running(
        folder, "prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn",
        port=port,
    ), httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1/", timeout=30) as client:  # fmt: skip
        # It listens a while before it answers.
        ready = f"http://127.0.0.1:{port}/-/ready"
        assert wait_until(lambda: client.get(ready).status_code == 200, STARTS_SECONDS), "Prometheus is not ready"
        yield Prometheus(client)


def _configuration(targets: Mapping[str, Sequence[str]], public: str) -> dict[str, Any]:
    jobs: list[dict[str, Any]] = [
        {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
        for job, addresses in targets.items()
        if job != "blackbox"
    ]
    jobs.append(
        {
            "job_name": "blackbox",
            "metrics_path": "/probe",
            "params": {"module": ["readyz"]},
            # The second as deploy/bootstrap labels one whose certificate is from the proxy's own authority.
            "static_configs": [
                {"targets": [f"{public}/readyz"]},
                {"targets": [f"{public}/livez"], "labels": {"renewed": "hourly"}},
            ],
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "__param_target"},
                {"source_labels": ["__param_target"], "target_label": "instance"},
                {"target_label": "__address__", "replacement": targets["blackbox"][0]},
            ],
        }
    )
    times = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    return {"global": times | {"external_labels": {"runbooks": RUNBOOKS}}, "scrape_configs": jobs}


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
