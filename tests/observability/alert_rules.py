"""The rules as the files have them, and the programs that read them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "observability" / "prometheus"
RULES = PROMETHEUS / "rules"
LOKI_RULES = ROOT / "observability" / "loki" / "rules"
RUNBOOKS = ROOT / "observability" / "runbooks"
UNITS = {"s": 1 / 60, "m": 1, "h": 60, "d": 1440}


def programs() -> Path:
    """Where Debian's programs lie. Unpacks them where they are missing, so that a test run alone finds them too."""
    found = subprocess.run([ROOT / "scripts" / "install-prometheus"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(found.stdout.strip())


def rules_of(file: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts_of(file: Path) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules_of(file) if "alert" in rule}


def rule_files() -> list[Path]:
    return sorted(RULES.glob("*.yml"))


def all_alerts() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Of Prometheus and of Loki, each with its file."""
    for file in (*rule_files(), *sorted(LOKI_RULES.glob("**/*.yml"))):
        for alert in alerts_of(file).values():
            yield file, alert


def minutes(duration: str) -> int:
    """``"1h30m"`` → 90."""
    return round(sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration)))
