"""Look through the SQL of migrations: none may hold up a clinic at work, and none may take away what the release before
uses, unless it says so. ``python -m migrations.lint`` in a development environment; `make lint` does.

squawk (https://squawkhq.com/docs/rules) knows what locks for long and what breaks clients. What breaks them is allowed
in a migration that raises the floor of the schema (models/schema_floor.py): from then on older programs are not ready,
and say why. Such a migration belongs into a release after the one that stopped using what it takes away.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from migrations.floor import RAISES, revisions, sql_of

BASE = "0036"  # those up to here no release was ever upgraded from
POSTGRESQL = "15"  # what production runs

# Rules about what programs of before would miss.
BREAKS = frozenset({
    "adding-required-field", "adding-not-nullable-field", "ban-drop-column", "ban-drop-function", "ban-drop-table",
    "ban-drop-view", "changing-column-type", "renaming-column", "renaming-table", "revoking",
})  # fmt: skip
# What squawk has no rule for and programs of before would miss as much.
REVOKES = re.compile(r"^\s*(REVOKE\b(?!.*\bFROM PUBLIC\b).*|DROP POLICY\b.*)", re.MULTILINE | re.IGNORECASE)
# Rules that are not ours.
LEFT_OUT = {
    "prefer-robust-stmts": "each migration is one transaction: all of it or nothing",
    "prefer-bigint-over-int": "counters that stay small are integers",
    "prefer-bigint-over-smallint": "as before",
}
# revision → rule → why it is right there.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "0038": {
        "ban-drop-constraint": "one that asks the same takes its place in the same statement",
        "constraint-missing-not-valid": "few events wait to be sealed, and drills accept none that is not valid",
    },
}


@dataclass(frozen=True)
class Finding:
    revision: str
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.revision}: {self.rule}: {self.text}"


def look_through(revision: str, sql: str) -> list[Finding]:
    """What is wrong with ``sql``, but for what ``EXCEPTIONS`` says of the revision."""
    done = subprocess.run(  # noqa: S603
        [Path(sys.executable).parent / "squawk", "--reporter", "json", "--pg-version", POSTGRESQL,
         "--exclude", ",".join(LEFT_OUT), "--stdin-filepath", f"{revision}.sql"],
        input=sql, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if not done.stdout.startswith("["):
        raise RuntimeError(f"squawk did not run: {done.stderr.strip()}")
    found = [Finding(revision, each["rule_name"], each["message"]) for each in json.loads(done.stdout)]
    found += [Finding(revision, "revoking", match[1].strip()) for match in REVOKES.finditer(sql)]
    raised = RAISES.search(sql)
    if raised is not None and not BASE < raised[1] <= revision:
        found.append(Finding(revision, "floor", f"{raised[1]} is no revision up to this one"))
    allowed = BREAKS if raised is not None else frozenset()
    return [each for each in found if each.rule not in allowed and each.rule not in EXCEPTIONS.get(revision, {})]


def main() -> int:
    found = [each for before, revision in revisions(BASE) for each in look_through(revision, sql_of(before, revision))]
    for each in found:
        sys.stderr.write(f"{each}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
