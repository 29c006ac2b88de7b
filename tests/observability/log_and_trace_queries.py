"""Read queries in LogQL and TraceQL with Grafana's grammars (scripts/check-queries). Exits with 1 if one is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence

from observability.grafana.generate import GENERATED
from tests.observability.alert_rules import LOKI_RULES, alerts_of
from tests.observability.panels import panels

READ = GENERATED.parent / "grammars" / "read.mjs"
# What a reader must notice, or it reads nothing.
WRONG = (
    {"source": "loki", "name": "a wrong LogQL", "query": 'sum(rate({job="sigilo"} | json | [5m]))'},
    {"source": "tempo", "name": "a wrong TraceQL", "query": "{ duration > }"},
)


def queries() -> Iterator[dict[str, str]]:
    for panel in panels():
        for query in panel.queries:
            if query.source != "prometheus":
                yield {"source": query.source, "name": panel.name, "query": query.asked}
    for file in sorted(LOKI_RULES.glob("**/*.yml")):
        for name, alert in alerts_of(file).items():
            yield {"source": "loki", "name": name, "query": alert["expr"]}


def troubles(folder: str, asked: Sequence[dict[str, str]]) -> list[str]:
    """What the grammars in ``folder`` find wrong."""
    done = subprocess.run(
        ["node", READ, folder], input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True
    )
    found: list[str] = json.loads(done.stdout)
    return found


def main() -> int:
    folder, asked = sys.argv[1], list(queries())
    noticed = {line.partition(":")[0] for line in troubles(folder, WRONG)}
    assert noticed == {each["name"] for each in WRONG}, f"the grammars found nothing wrong but in {noticed}"
    found = troubles(folder, asked)
    sys.stdout.write("\n".join((*found, f"{len(asked)} queries of Loki and Tempo read, {len(found)} errors\n")))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
