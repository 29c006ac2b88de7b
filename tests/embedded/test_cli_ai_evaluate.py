"""``sigilo ai evaluate`` against a model over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from config import Settings
from services.ai_evaluation_set import cases
from services.pseudonym_leaks import leaks
from tests.embedded.test_cli import environment, served, sigilo
from tests.integrations.fake_ollama import DEFAULT_MODEL, FakeOllama, fake_ollama

__all__ = ["environment", "served"]


@pytest.fixture
def ollama(served: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOllama]:
    with fake_ollama() as running:
        monkeypatch.setenv("OLLAMA_URL", running.url)
        yield running


def test_rules_alone_need_no_model(served: Settings) -> None:
    result = sigilo("ai", "evaluate")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0].split() == ["rules/1"]
    [search] = [line for line in result.stdout.splitlines() if line.startswith("CID-10 candidate search: recall@5 ")]
    assert float(search.split()[4].rstrip(",")) >= 0.9
    [among] = [line for line in result.stdout.splitlines() if line.startswith("expected CID-10 code among five")]
    assert float(among.split()[-1].rstrip("%")) >= 90, "the baseline"
    assert result.stdout.splitlines()[-1].endswith("1 compared")


def test_a_model_stands_beside_rules_and_is_sent_no_identifier(ollama: FakeOllama) -> None:
    ollama.answer_with('{"sentences": []}')
    result = sigilo("ai", "evaluate", "--model", DEFAULT_MODEL, "--json")
    assert result.exit_code == 0, result.stderr
    rules, model = orjson.loads(result.stdout)["models"]
    assert orjson.loads(result.stdout)["cid10Search"]["recallAt5"] >= 0.9
    assert (rules["name"], model["name"]) == ("rules/1", DEFAULT_MODEL)
    assert model["digest"] == ollama.models[DEFAULT_MODEL].digest
    assert rules["schemaValidity"] == 1
    assert model["schemaValidity"] < 1, "a summary's shape fits no priority"
    sent = bytes(ollama.every_byte).decode(errors="replace")
    assert leaks(sent, [each for case in cases() for each in case.patient.values()]) == []


@pytest.mark.parametrize(("name", "says"), [("no-such-model", "ai pull"), ("../x", "named as")])
def test_what_is_no_model_is_one_line(ollama: FakeOllama, name: str, says: str) -> None:
    result = sigilo("ai", "evaluate", "--model", name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr
