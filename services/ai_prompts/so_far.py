"""The words of an answer that is still being given, as plain text to read along: not checked yet.

But for whom it names: a pseudonym that no source has comes back to nobody, and takes its sentence with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import from_json

from services.ai_prompts.checked import all_texts, text_of
from services.ai_prompts.inputs import Inputs
from services.ai_prompts.plain_text import plain
from services.pseudonym_tokens import as_told

WORDS = ("text", "because")
Begun = tuple[str, list[str]]  # words, and the sources that they cite, as far as those have come


def words_so_far(raw: str, inputs: Inputs) -> list[str]:
    """Sentences in ``raw``, the JSON of an answer to ``inputs`` (prepared) as far as it has come, pseudonyms still in
    them. Of the last one the word that may not be whole yet is left out, and so is a pseudonym. Empty while there is
    none."""
    return [words for words in _each_so_far(raw, inputs) if words]


def _each_so_far(raw: str, inputs: Inputs) -> list[str]:
    """The same, with an empty text for each sentence of which nothing is left."""
    try:
        sentences = list(_sentences(from_json(raw, allow_partial="trailing-strings")))
        whole = list(_sentences(from_json(raw, allow_partial=True)))
    except ValueError:
        return []
    if len(whole) < len(sentences):
        words, refs = sentences[-1]
        sentences[-1] = (_whole_words(words), refs)
    ended = len(sentences) - 1
    return [_told(inputs, words, refs if at < ended else ()) for at, (words, refs) in enumerate(sentences)]


def _told(inputs: Inputs, words: str, refs: Sequence[str]) -> str:
    """The words in plain text; nothing of them where they name what no source does that they cite (or none at all, as
    long as it is not known which they cite)."""
    cited = [text_of(inputs, ref.upper()) or "" for ref in refs] or all_texts(inputs)
    return as_told(plain(words)[0], cited) or ""


def codes_so_far(raw: str, inputs: Inputs) -> list[dict[str, str]]:
    """Suggestions in ``raw`` as far as they have come, ``{"code", "title", "because"}``: of codes that are whole and
    candidates of ``inputs``, with the table's own titles. The reason of the last one may still be empty."""
    try:
        whole = _suggestions(from_json(raw, allow_partial=True))
        begun = _suggestions(from_json(raw, allow_partial="trailing-strings"))
    except ValueError:
        return []
    words = iter(_each_so_far(raw, inputs))
    titles = dict(inputs.candidates)
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


def _sentences(data: Any) -> Iterator[Begun]:
    if isinstance(data, list):
        for each in data:
            yield from _sentences(each)
    elif isinstance(data, dict):
        cited = data.get("sources")
        refs = [ref for ref in cited if isinstance(ref, str)] if isinstance(cited, list) else []
        for name, value in data.items():
            if name in WORDS and isinstance(value, str):
                yield value, refs
            else:
                yield from _sentences(value)


def _whole_words(text: str) -> str:
    words = text if text != text.rstrip() else text.rpartition(" ")[0]
    opened = words.rfind("[")
    return words[:opened] if opened > words.rfind("]") else words
