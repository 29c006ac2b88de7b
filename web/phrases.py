"""What templates say, in the reader's language: each text looked up once, not once a call.

Jinja's own ``_`` finds the language, wraps the text and formats it at every call: 40 µs, three hundred times on a
page. A text without variables is the same every time; one with them is formatted alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from flask import Flask, g
from flask_babel import get_locale, get_translations
from markupsafe import Markup

TEXTS_MAX = 8192  # twice what both languages hold; beyond, the one not said for longest is looked up again


def register_phrases(app: Flask) -> None:
    app.jinja_env.globals.update(_=phrase, gettext=phrase, ngettext=counted_phrase, N_=str)
    app.jinja_env.filters["translated"] = translated


def phrase(text: str, /, **variables: Any) -> Markup:
    """``text`` translated, ``%(name)s`` filled in and escaped. Like Jinja's, always a format: ``%%`` is a ``%``."""
    language = _language()
    return _translated(language, text) % variables if variables else _finished(language, text)


def translated(texts: Mapping[str, str]) -> dict[str, Markup]:
    """Codes and their texts, which ``N_`` marked for the catalogue, in the reader's language."""
    return {code: phrase(text) for code, text in texts.items()}


def counted_phrase(one: str, many: str, num: int, /, **variables: Any) -> Markup:
    """The form that ``num`` of the things asks for; ``%(num)s`` is the number."""
    form = Markup(get_translations().ungettext(one, many, num))  # noqa: S704 (the catalogue is ours)
    return form % ({"num": num} | variables)


def _language() -> str:
    """Flask-Babel's own notes of this request are looked at first: asking it takes ten looks through proxies, and a
    page asks five hundred times."""
    try:
        locale = g._flask_babel.babel_locale or get_locale()
    except AttributeError:
        locale = get_locale()
    return str(locale.language)


@lru_cache(TEXTS_MAX)
def _translated(language: str, text: str) -> Markup:
    return Markup(get_translations().ugettext(text))  # noqa: S704 (the catalogue is ours)


@lru_cache(TEXTS_MAX)
def _finished(language: str, text: str) -> Markup:
    return _translated(language, text) % {}
