"""What one worker process has at hand: its settings and its databases, opened after the fork."""

from __future__ import annotations

import os
from functools import lru_cache

from config import Principal, Settings, load_settings
from models.engine import Databases
from observability.pool_metrics import PoolMetrics

POOL_SIZE = 2


def settings() -> Settings:
    """The settings of this process."""
    return _opened(os.getpid())[0]


def databases() -> Databases:
    """This process's engines. A worker holds the worker's connection and no other principal's."""
    return _opened(os.getpid())[1]


@lru_cache(maxsize=1)
def _opened(_process: int) -> tuple[Settings, Databases]:
    """By process id: a forked child must not speak over its parent's connections."""
    loaded = load_settings()
    urls = {Principal.WORKER.value: loaded.url_for(Principal.WORKER)}
    return loaded, Databases(
        urls, pool_size=POOL_SIZE, anew=lambda name: loaded.url_anew(Principal(name)), watch=PoolMetrics
    )
