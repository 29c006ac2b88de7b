"""The names of what other programs measure, asked of the programs: Debian's exporters over the tests' own servers."""

from __future__ import annotations

import re
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import httpx
import psycopg

from tests import plain_http
from tests.installation import free_port
from tests.observability.alert_rules import ROOT, RULES, programs
from tests.servers import DatabaseServer

SECONDS = 20.0
NAME = re.compile(r"^(?:# TYPE )?(\w+)", re.MULTILINE)


@contextmanager
def exporter(
    name: str, *arguments: str, path: str = "/metrics", ready: str = "/", cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[set[str]]:  # fmt: skip
    """The names that Debian's program ``name`` measures, once it says at ``ready`` that it is."""
    port = free_port()
    command = [str(programs() / name), *arguments, f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment or {}, cwd=cwd
    )
    try:
        _wait(process, f"http://127.0.0.1:{port}{ready}")
        yield set(NAME.findall(plain_http.get(f"http://127.0.0.1:{port}{path}").raise_for_status().text))
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(httpx.TransportError):
            if plain_http.get(url, follow_redirects=True).is_success:
                return
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"{url} does not answer: {process.communicate()[0].decode()[-2000:]}")


def measured_names(server: DatabaseServer, redis_url: str, folder: Path) -> set[str]:
    """Of all programs that Prometheus is told to ask and that run here."""
    # Counts of a group of rules are there once there is one.
    (folder / "prometheus.yml").write_text(f"rule_files: [{RULES}/*.yml]\n")
    (folder / "alertmanager.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    blackbox = ROOT / "observability" / "blackbox" / "blackbox.yml"
    # Port 9 refuses: what is measured of a probe is named all the same.
    probe = "/probe?module=readyz&target=https://127.0.0.1:9/readyz"
    templates = programs().parent / "share" / "prometheus" / "alertmanager"
    started = (
        exporter("prometheus-redis-exporter", environment=_redis(redis_url)),
        exporter("prometheus-node-exporter"),
        exporter("prometheus-blackbox-exporter", f"--config.file={blackbox}", path=probe),
        exporter(
            "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
            ready="/-/ready",
        ),
        exporter(
            "prometheus-alertmanager", f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alerts'}", "--cluster.listen-address=", ready="/-/ready", cwd=templates,
        ),
    )  # fmt: skip
    with ExitStack() as stack:
        figures = stack.enter_context(_data_source(server))
        of_postgresql = exporter("prometheus-postgres-exporter", environment=figures)
        return set().union(*(stack.enter_context(each) for each in (of_postgresql, *started)))


@contextmanager
def _data_source(server: DatabaseServer) -> Iterator[Mapping[str, str]]:
    """libpq's URL for lib/pq, which wants to be told that a socket has no TLS, and takes no password that fewer hashes
    prove than RFC 7677 asks for, as the tests' own is (``let_in_quickly``): a login that may read figures."""
    name = f"watcher_{uuid.uuid4().hex}"
    parts = urlsplit(server.superuser_url("postgres"))
    with psycopg.connect(server.maintenance_url, autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE {name} LOGIN IN ROLE pg_monitor PASSWORD '{name}'")
        query = "&".join(each for each in parts.query.split("&") if not each.startswith("options="))
        netloc = f"{name}:{name}@{parts.netloc.rpartition('@')[2]}"
        try:
            url = urlunsplit((parts.scheme, netloc, parts.path, query, ""))
            yield {"DATA_SOURCE_NAME": f"{url}{'&' if query else '?'}sslmode=disable"}
        finally:
            superuser.execute(f"DROP ROLE {name}")


def _redis(url: str) -> Mapping[str, str]:
    """The exporter knows no query, by which redis-py is told the database."""
    parts = urlsplit(url)
    given = {"REDIS_PASSWORD": parts.password or ""}
    if parts.scheme == "unix":
        assert parse_qs(parts.query).keys() <= {"db"}
        return {"REDIS_ADDR": f"unix://{parts.path}", **given}
    return {"REDIS_ADDR": f"redis://{parts.hostname}:{parts.port}", **given}
