"""The words of an answer that is still being given, as plain text to read along: not checked yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import from_json

from services.ai_prompts.plain_text import plain

WORDS = ("text", "because")


def words_so_far(raw: str) -> list[str]:
    """Sentences in ``raw``, the JSON of an answer as far as it has come, pseudonyms still in them. Of the last one the
    word that may not be whole yet is left out, and so is a pseudonym. Empty while there is none."""
    return [words for words in _each_so_far(raw) if words]


def _each_so_far(raw: str) -> list[str]:
    """The same, with an empty text for each sentence of which nothing is left."""
    try:
        sentences = list(_sentences(from_json(raw, allow_partial="trailing-strings")))
        whole = list(_sentences(from_json(raw, allow_partial=True)))
    except ValueError:
        return []
    if len(whole) < len(sentences):
        sentences[-1] = _whole_words(sentences[-1])
    return [plain(sentence)[0] for sentence in sentences]


def codes_so_far(raw: str, candidates: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Suggestions in ``raw`` as far as they have come, ``{"code", "title", "because"}``: of codes that are whole and
    candidates, with the table's own titles. The reason of the last one may still be empty."""
    try:
        whole = _suggestions(from_json(raw, allow_partial=True))
        begun = _suggestions(from_json(raw, allow_partial="trailing-strings"))
    except ValueError:
        return []
    words = iter(_each_so_far(raw))
    titles = dict(candidates)
    found = []
    for number, each in enumerate(begun):
        # A reason is of the suggestion that it stands in, though nothing is left of the one before.
        reasons = [next(words, "") for _ in _sentences(each)]
        one = whole[number] if number < len(whole) else None
        code = one.get("code") if isinstance(one, dict) else None
        if isinstance(code, str) and code in titles:
            found.append({"code": code, "title": titles[code], "because": reasons[0] if reasons else ""})
    return found


def _suggestions(data: Any) -> list[Any]:
    given = data.get("suggestions") if isinstance(data, dict) else None
    return given if isinstance(given, list) else []


def _sentences(data: Any) -> Iterator[str]:
    if isinstance(data, list):
        for each in data:
            yield from _sentences(each)
    elif isinstance(data, dict):
        for name, value in data.items():
            if name in WORDS and isinstance(value, str):
                yield value
            else:
                yield from _sentences(value)


def _whole_words(text: str) -> str:
    words = text if text != text.rstrip() else text.rpartition(" ")[0]
    opened = words.rfind("[")
    return words[:opened] if opened > words.rfind("]") else words
