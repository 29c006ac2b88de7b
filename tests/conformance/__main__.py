"""``scripts/conformance [VERB]…``: run these verbs, take what the last runs saw, and write docs/conformance.md."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

from tests.conformance.outcomes import FAILED, KEPT, PASSED
from tests.conformance.page import PAGE, RESULTS, missing_evidence, page, read_results
from tests.conformance.rows import ROOT, read_claims, read_rows

CACHE = ROOT / ".pytest_cache" / "v" / KEPT


def main(verbs: list[str]) -> int:
    ran = {f"make {verb}": _run(verb) for verb in verbs}
    claims = read_claims()
    wanted = {name for claim in claims for name in claim.evidence}
    seen: dict[str, Any] = json.loads(CACHE.read_text(encoding="utf-8")) if CACHE.is_file() else {}
    results = {name: result for name, result in (read_results() | seen | ran).items() if name in wanted}
    RESULTS.write_text(json.dumps(results, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    if missing := missing_evidence(claims, results):
        for name, why in sorted(missing.items()):
            print(f"{name}: {why}", file=sys.stderr)  # noqa: T201
        print(f"{PAGE.name} is as it was: {len(missing)} things claimed are not so", file=sys.stderr)  # noqa: T201
        return 1
    PAGE.write_text(page(read_rows(), claims, results), encoding="utf-8")
    return 0


def _run(verb: str) -> dict[str, Any]:
    """How ``make verb`` ended, in the shape of a test's result."""
    failed = subprocess.run(["make", verb], cwd=ROOT, check=False).returncode
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"outcome": FAILED if failed else PASSED, "cases": 1, "day": day, "digest": ""}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
