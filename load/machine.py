"""What the machine is, and what each kind of process takes of it."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections import defaultdict
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from embedded.home import Home
from embedded.postgres import PostgresServer
from embedded.process import processes_in, processes_marked
from embedded.supervisor import MARK

# Words of a command line → what it is called; the first that fits.
KINDS = (
    ("granian", "web"), ("--queues audit", "worker of the trail"), ("--queues mail", "worker of mail and access"),
    ("celery", "other workers"), ("scheduler", "scheduler"),
)  # fmt: skip
HELLOS = 800


def describe() -> dict[str, object]:
    """Processors, memory and versions; how busy the machine was in the last minute."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_mib": psutil.virtual_memory().total >> 20,
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def hello_per_second(url: str) -> float:
    """Bare answers a second on one connection, one after the other: the machine's measure (``load/app.py``)."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    times = []
    for _ in range(HELLOS):
        started = time.perf_counter()
        connection.request("GET", "/bench/hello")
        connection.getresponse().read()
        times.append(time.perf_counter() - started)
    connection.close()
    return 1 / statistics.median(times)


def _members(home: Home) -> dict[str, list[psutil.Process]]:
    """The installation's processes by what they are, and this one, which makes the load."""
    found: defaultdict[str, list[psutil.Process]] = defaultdict(list)
    found["load generator"].append(psutil.Process())
    for pid in processes_in(PostgresServer(home).data, "postgres"):
        with suppress(psutil.Error):
            found["PostgreSQL"].append(psutil.Process(pid))
    for pid in processes_in(home.redis, "redis-server"):
        with suppress(psutil.Error):
            found["Redis"].append(psutil.Process(pid))
    known = {process.pid for processes in found.values() for process in processes}
    for pid in processes_marked(MARK, str(home.path)):
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            words = " ".join(process.cmdline())
            name = next((name for part, name in KINDS if part in words), "other")
            if pid not in known:
                found[name].append(process)
    return found


def processor_seconds(home: Home) -> dict[str, float]:
    """Used so far by each kind of process, those that have ended included."""
    used: defaultdict[str, float] = defaultdict(float)
    for name, processes in _members(home).items():
        for process in processes:
            with suppress(psutil.Error):
                times = process.cpu_times()
                used[name] += times.user + times.system
                if name == "PostgreSQL":  # whose backends come and go
                    used[name] += times.children_user + times.children_system
    return dict(used)


def memory_mib(home: Home) -> dict[str, float]:
    """Proportional memory (PSS) of each kind of process right now."""
    return {
        name: round(sum(_pss(process) for process in processes) / (1 << 20), 1)
        for name, processes in _members(home).items()
    }


def _pss(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0
