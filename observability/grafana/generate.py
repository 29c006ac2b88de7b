"""Write observability/grafana/generated from the dashboards' modules: ``python -m observability.grafana.generate``.

Grafana reads what is generated; nobody edits it. It is committed, so that a change of a dashboard is seen as what
Grafana will get, and so that nothing of this has to run where Grafana does.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.grafana import dashboards
from observability.grafana.page import as_json

GENERATED = Path(__file__).resolve().parent / "generated"
# Folders of Grafana (provisioning/dashboards): who runs the clinic may see its day without seeing its servers.
OPERATIONS, CLINIC = "operations", "clinic"


def built() -> dict[str, Dashboard]:
    """Every dashboard by the name of its module."""
    names = sorted(module.name for module in pkgutil.iter_modules(dashboards.__path__))
    return {name: importlib.import_module(f"{dashboards.__name__}.{name}").build() for name in names}


def texts() -> dict[str, str]:
    """What the folder holds when it is up to date, by the file's place in it."""
    return {
        f"{CLINIC if name == 'clinic' else OPERATIONS}/{name}.json": as_json(dashboard)
        for name, dashboard in built().items()
    }


def found() -> dict[str, str]:
    """What it holds."""
    return {
        file.relative_to(GENERATED).as_posix(): file.read_text(encoding="utf-8") for file in GENERATED.rglob("*.json")
    }


def main() -> int:
    wanted = texts()
    for stale in found().keys() - wanted.keys():
        (GENERATED / stale).unlink()
    for place, text in wanted.items():
        (GENERATED / place).parent.mkdir(parents=True, exist_ok=True)
        (GENERATED / place).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(wanted)} dashboards in {GENERATED}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
