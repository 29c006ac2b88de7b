"""What collects logs and traces: its files name what there is, and the fields that our lines have.

Neither Alloy nor Loki nor Tempo runs here. Whether they take their files is for whoever has them: ``alloy validate
config.alloy``, ``loki -config.file=loki.yml -verify-config``,
``tempo -config.file=tempo.yml -config.verify``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from config import Settings
from observability.logging import configure_logging
from observability.tracing import span
from tests.observability.collector import collecting, tracing_to

FOLDER = Path(__file__).resolve().parent.parent.parent / "observability"
COMPONENT = re.compile(r'^([a-z_]+(?:\.[a-z_]+)+) "(\w+)" \{', re.MULTILINE)
REFERENCE = re.compile(r"\b((?:discovery|loki|otelcol)(?:\.\w+)+)\.(?:receiver|input|targets|output)\b")


@pytest.fixture(scope="module")
def alloy() -> str:
    """Its configuration without comments and without what stands in quotes."""
    text = (FOLDER / "alloy" / "config.alloy").read_text()
    return re.sub(r"^\s*//.*$|\s// .*$", "", text, flags=re.MULTILINE)


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name / f"{name}.yml").read_text())
    return found


def test_every_component_that_alloy_is_told_to_use_is_declared_and_used(alloy: str) -> None:
    declared = {f"{kind}.{name}" for kind, name in COMPONENT.findall(alloy)}
    used = set(REFERENCE.findall(alloy))
    assert used <= declared
    sources = {"loki.source.docker.containers", "otelcol.receiver.otlp.sigilo"}
    assert declared - used == sources, "what nothing refers to gets nothing, but for the sources"


def test_alloys_blocks_are_closed(alloy: str) -> None:
    unquoted = re.sub(r'"(?:[^"\\]|\\.)*"', '""', alloy)
    depth = 0
    for sign in re.findall(r"[{}\[\]()]", unquoted):
        depth += 1 if sign in "{[(" else -1
        assert depth >= 0
    assert depth == 0


def test_labels_are_from_a_closed_list_and_ids_are_none_of_them(alloy: str) -> None:
    kept = re.search(r"stage\.label_keep \{\s*values = \[(.*?)\]", alloy)
    assert kept is not None
    assert set(json.loads(f"[{kept[1]}]")) == {"job", "service", "level"}
    assert alloy.index("stage.labels ") < alloy.index("stage.label_keep")
    assert len(re.findall(r"stage\.drop|stage\.sampling|stage\.limit", alloy)) == 0, "no line is left out"
    for label in ("request_id", "trace_id"):
        assert re.search(rf'stage\.structured_metadata \{{\s*values = \{{[^}}]*{label} = ""', alloy)


def test_the_fields_that_alloy_reads_are_those_that_lines_have(
    alloy: str, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    expressions = re.search(r"expressions\s+= \{(.*?)\}", alloy)
    assert expressions is not None
    read_from = set(re.findall(r'= "(\w+)"', expressions[1]))
    configure_logging(settings.log_level)
    with collecting() as collector, tracing_to(collector), span("act"), structlog.contextvars.bound_contextvars(
        requestId="0123456789abcdef"
    ):
        structlog.get_logger().warning("seen")
    line = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert read_from <= set(line)
    assert f'(eq .Value \\"{line["level"]}\\")' in alloy
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]), "RFC 3339, as the stage reads it"


def test_loki_forgets_in_time_and_takes_ids_beside_lines(alloy: str) -> None:
    loki = read("loki")
    newest = loki["schema_config"]["configs"][-1]
    assert (newest["store"], newest["schema"]) == ("tsdb", "v13")
    assert loki["limits_config"]["allow_structured_metadata"] is True
    assert loki["compactor"]["retention_enabled"] and loki["compactor"]["delete_request_store"] == "filesystem"
    assert loki["limits_config"]["retention_period"] == "744h"
    assert f"http://loki:{loki['server']['http_listen_port']}/loki/api/v1/push" in alloy
    assert loki["analytics"]["reporting_enabled"] is False


def test_tempo_is_of_its_third_version_and_takes_what_alloy_sends(alloy: str) -> None:
    tempo = read("tempo")
    assert not {"ingester", "ingester_client", "compactor", "metrics_generator_client"} & set(tempo)
    port = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].rpartition(":")[2]
    assert f'endpoint = "tempo:{port}"' in alloy
    kept = tempo["backend_scheduler"]["provider"]["compaction"]["compaction"]["block_retention"]
    assert kept == tempo["backend_worker"]["compaction"]["block_retention"] == "168h"
    assert tempo["usage_report"]["reporting_enabled"] is False
