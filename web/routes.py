"""Every group of routes that the application serves. A new module of routes is named here, and nowhere else."""

from __future__ import annotations

from web import health, metrics, static_files
from web.api import audit, care, docs, imports, me, patients, records, visits
from web.guards import Routes
from web.views import account, home, live

GROUPS: tuple[Routes, ...] = (
    health.routes,
    metrics.routes,
    static_files.routes,
    docs.routes,
    me.routes,
    records.routes,
    patients.routes,
    care.routes,
    visits.routes,
    audit.routes,
    imports.routes,
    account.routes,
    home.routes,
    live.routes,
)
