"""``sigilo ai`` and what ``sigilo doctor`` says of the model, against a server over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import cli_progress
from config import ConfigurationError, Settings, load_settings
from tests.embedded.test_cli import environment, served, sigilo
from tests.integrations.fake_ollama import DEFAULT_MODEL, FakeOllama, Pulling, fake_ollama

__all__ = ["environment", "served"]


@pytest.fixture
def ollama(served: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOllama]:
    with fake_ollama() as running:
        monkeypatch.setenv("OLLAMA_URL", running.url)
        yield running


@pytest.mark.parametrize("name", [None, "qwen3:1.7b"])
def test_pull_brings_a_model_and_sums_up(
    ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    ollama.models.clear()
    monkeypatch.setattr(cli_progress, "PLAIN_PROGRESS_SECONDS", 0.0)
    result = sigilo("ai", "pull", *([name] if name else []))
    assert result.exit_code == 0, result.stderr
    brought = name or DEFAULT_MODEL
    assert result.stdout == f"{brought}: 3.8 MiB, sha256 {ollama.models[brought].digest}\n"
    lines = result.stderr.splitlines()
    assert lines[0] == f"Pulling {brought}: 0.5 MiB of 3.8 MiB"
    assert f"Pulling {brought}: 3.8 MiB of 3.8 MiB" in lines
    assert any("set it to qwen3:1.7b" in line for line in lines) == (name is not None)


def test_pull_that_breaks_off_goes_on_where_it_was(ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    ollama.models.clear()
    ollama.library[DEFAULT_MODEL] = Pulling(cuts=[3, 2])
    monkeypatch.setattr(cli_progress, "PLAIN_PROGRESS_SECONDS", 0.0)
    result = sigilo("ai", "pull")
    assert result.exit_code == 0, result.stderr
    assert sum(request.path == "/api/pull" for request in ollama.requests) == 3
    shown = [float(line.split(": ")[1].split(" ")[0]) for line in result.stderr.splitlines()]
    assert shown == sorted(shown)
    assert len(shown) == 8  # parts that were there are not brought again


def test_pull_that_breaks_off_every_time_says_to_run_it_again(ollama: FakeOllama) -> None:
    ollama.library[DEFAULT_MODEL] = Pulling(cuts=[1] * 9)
    result = sigilo("ai", "pull")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "goes on where it was" in result.stderr.splitlines()[-1]
    assert sigilo("ai", "pull").exit_code == 1
    ollama.library[DEFAULT_MODEL].cuts.clear()
    assert sigilo("ai", "pull").exit_code == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no-such-model", "Ollama's library has no model no-such-model"),
        ("gpt-oss:120b-cloud", "runs in Ollama's cloud"),
        ("../etc/passwd", "a model is named as Ollama's library has it"),
    ],
)
def test_pull_of_what_is_no_model_is_one_line(ollama: FakeOllama, name: str, says: str) -> None:
    result = sigilo("ai", "pull", name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert says in result.stderr


def test_models_are_listed_with_the_one_in_use(ollama: FakeOllama) -> None:
    ollama.have("qwen3:1.7b", size=1_400_000_000)
    ollama.have("far:latest", remote_host="https://ollama.com:443")
    result = sigilo("ai", "models")
    assert result.exit_code == 0, result.stderr
    ours, other = result.stdout.splitlines()
    assert ours.split() == [DEFAULT_MODEL, ollama.models[DEFAULT_MODEL].digest[:12], "1.9", "GiB", "configured"]
    assert other.split() == ["qwen3:1.7b", ollama.models["qwen3:1.7b"].digest[:12], "1.3", "GiB"]
    assert result.stderr == "2 models\n"
    del ollama.models[DEFAULT_MODEL]
    assert "which is not there: run `sigilo ai pull`" in sigilo("ai", "models").stderr


@pytest.mark.parametrize("command", ["pull", "models"])
def test_without_an_address_a_command_says_how_to_set_it(
    served: Settings, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.delenv("OLLAMA_URL", raising=False)
    result = sigilo("ai", command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "OLLAMA_URL is not set" in result.stderr


def test_nobody_there_is_one_line(served: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_URL", "http://127.0.0.1:9")
    result = sigilo("ai", "models")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: nobody answers at http://127.0.0.1:9: start Ollama, or correct OLLAMA_URL\n"


def test_doctor_says_whether_the_model_is_there(ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = ollama.models[DEFAULT_MODEL].digest[:12]
    assert f"ok    Language model: Ollama 0.12.6 has {DEFAULT_MODEL} ({digest}, 1925 MiB)" in sigilo("doctor").stdout
    ollama.models.clear()
    missing = sigilo("doctor")
    assert f"FAIL  Language model: the model {DEFAULT_MODEL} is not there: run `sigilo ai pull" in missing.stdout
    assert missing.exit_code == 1
    monkeypatch.delenv("OLLAMA_URL")
    assert "Language model" not in sigilo("doctor").stdout


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ollama_url": "http://8.8.8.8:11434"}, "http or https within this machine or a private network"),
        ({"ollama_url": "https://8.8.8.8"}, "http or https within this machine or a private network"),
        ({"ollama_url": "https://[2001:4860:4860::8888]"}, "http or https within this machine or a private network"),
        ({"ollama_url": "http://[::ffff:8.8.8.8]:11434"}, "http or https within this machine or a private network"),
        ({"ollama_url": "http://clinic:hunter2@10.0.0.5:11434"}, "OLLAMA_URL is the address"),
        ({"ollama_url": "10.0.0.5:11434"}, "OLLAMA_URL is the address"),
        ({"ollama_url": "http://10.0.0.5:99999"}, "OLLAMA_URL is the address"),
        ({"ollama_url": "https://ollama.com"}, "names Ollama's cloud"),
        ({"ai_model": "kimi-k2:1t-cloud"}, "AI_MODEL: kimi-k2:1t-cloud runs in Ollama's cloud"),
        ({"ai_model": "llama 3"}, "AI_MODEL: a model is named"),
        ({"ai_keep_alive": "ten minutes"}, "AI_KEEP_ALIVE is written"),
        ({"ai_parallel": 0}, "AI_PARALLEL"),
        ({"ai_answer_tokens": 5000}, "half of AI_CONTEXT_TOKENS"),
    ],
    ids=str,
)
def test_settings_that_can_not_be_are_refused(settings: Settings, given: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_settings(**settings.model_dump() | given)
    assert says in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["", "http://127.0.0.1:11434", "http://ollama:11434/", "http://[fd00::7]:11434", "https://ai.clinic.example"]
)
def test_addresses_that_may_be(settings: Settings, url: str) -> None:
    assert load_settings(**settings.model_dump() | {"ollama_url": url}).ollama_url == url.rstrip("/")
