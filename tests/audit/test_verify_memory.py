"""Verifying a trail of any length takes the memory of a short one, in the database and from a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config import Settings
from models.engine import Databases
from services.audit_file import write_file
from tests.audit.trail import as_superuser, drain_all

pytestmark = pytest.mark.database
ROOT = Path(__file__).parents[2]
SHORT, LONG = 6_000, 24_000  # events; of the short one as many are read ahead as ever are
MOST_MORE = 8  # MiB; held as rows, the events of the long one take thirty more
WRITE = """
    INSERT INTO audit_outbox
        (id, occurred_at, action, outcome, actor_id, actor_role, entity_type, entity_id, patient_id, ip, user_agent)
    SELECT gen_random_uuid(), now(), 'medical_record.read', 'success', gen_random_uuid(), 'DOCTOR', 'medical_record',
        gen_random_uuid(), gen_random_uuid(), '203.0.113.7', repeat('browser ', 16)
    FROM generate_series(1, %s)
"""
# Of a process of its own; getrusage's ru_maxrss would be the parent's, which a child begins with.
PEAK = """
from pathlib import Path
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(report.is_intact, report.events, peak.split()[1])
"""
ONLINE = f"""
import sys, psycopg
from services.audit_verify import verify_trail
with psycopg.connect(sys.argv[1]) as connection:
    report = verify_trail(connection, [])
{PEAK}
"""
OFFLINE = f"""
import sys
from pathlib import Path
from services.audit_verify import verify_files
report = verify_files([Path(sys.argv[1])], [])
{PEAK}
"""


def peak(code: str, argument: str, events: int) -> float:
    """MiB that a process of its own held at most."""
    done = subprocess.run([sys.executable, "-c", code, argument], cwd=ROOT, capture_output=True, text=True, check=True)
    is_intact, looked_at, kibibytes = done.stdout.split()
    assert (is_intact, int(looked_at)) == ("True", events)
    return int(kibibytes) / 1024


def test_memory_does_not_grow_with_the_trail(
    trail: Databases, trail_settings: Settings, superuser: str, tmp_path: Path
) -> None:
    peaks = []
    for events in (SHORT, LONG):
        with as_superuser(superuser) as connection:
            grow(connection, events)
        drain_all(trail)
        file = tmp_path / f"{events}.trail"
        written = write_file(trail_settings, file)
        assert written == events
        peaks.append((peak(ONLINE, superuser, events), peak(OFFLINE, str(file), events)))
        assert drain_all(trail) == 1, "the export is an act of its own"
    [short, long] = peaks
    assert long[0] - short[0] < MOST_MORE, f"online: {short[0]:.0f} MiB, then {long[0]:.0f}"
    assert long[1] - short[1] < MOST_MORE, f"from a file: {short[1]:.0f} MiB, then {long[1]:.0f}"


def grow(connection: psycopg.Connection[Any], events: int) -> None:
    """So that ``events`` are in the trail, once it is drained."""
    [(sealed,)] = connection.execute("SELECT count(*) FROM audit_trail")
    connection.execute(WRITE, (events - sealed,))
