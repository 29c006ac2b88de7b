"""Language models that Ollama runs on a machine of the clinic's own (OLLAMA_URL). Nothing here is imported, and nobody
is spoken to, where that is not set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config import ConfigurationError, Settings
from integrations.language_model import LanguageModel

if TYPE_CHECKING:
    from integrations.ollama.server import OllamaServer

NOT_SET = "OLLAMA_URL is not set: start Ollama, and set it to its address, such as http://127.0.0.1:11434"


def make_language_model(
    settings: Settings, *, name: str | None = None, patience: float = 0.0, gives_way: bool = False
) -> LanguageModel | None:
    """The model ``name``, by default AI_MODEL; None without OLLAMA_URL, where rules do the work.

    ``patience``: how many seconds an answer waits for others to be done before ModelBusy. ``gives_way``: before each
    answer whoever else waits goes first, for what is in no hurry.
    """
    if not settings.ollama_url:
        return None
    from integrations.ollama.breaker import breaker_of
    from integrations.ollama.model import OllamaModel
    from integrations.ollama.slots import Slots

    return OllamaModel(
        make_server(settings), settings, name=name, patience=patience, gives_way=gives_way,
        breaker=breaker_of(settings.ollama_url),
        slots=Slots(settings.sigilo_home / "ai", settings.ollama_url, settings.ai_parallel),
    )  # fmt: skip


def make_server(settings: Settings) -> OllamaServer:
    """The server itself, for whoever looks after it. Raises ConfigurationError where OLLAMA_URL is not set."""
    if not settings.ollama_url:
        raise ConfigurationError(NOT_SET)
    from integrations.ollama.server import OllamaServer
    from integrations.ollama.watch import Limits

    return OllamaServer(settings.ollama_url, Limits.of(settings))
