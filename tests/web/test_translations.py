"""The catalogues hold every text of the pages, compiled."""

from __future__ import annotations

import gettext
import re
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import Flask

from tests.web.conftest import Browser
from web.languages import LANGUAGES, TRANSLATIONS

ROOT = TRANSLATIONS.parent.parent


SENTENCES = "web.forms.sentence_extraction:extract"


@cache
def messages() -> set[tuple[str, ...]]:
    """Every text that a page or view asks to be translated, and every sentence of a service; with its plural, where a
    number is said with it."""
    found: set[tuple[str, ...]] = set()
    for folder, methods in (
        *((package, [("**.py", SENTENCES)]) for package in ("web", "services", "backups", "integrations")),
        ("templates", [("**.html", "jinja2"), ("**.txt", "jinja2")]),
    ):  # fmt: skip
        for _, _, message, _, _ in extract_from_dir(ROOT / folder, methods):
            found.add((message,) if isinstance(message, str) else tuple(message))
    return found


def texts() -> set[str]:
    return {message[0] for message in messages()}


def first(id: str | list[str] | tuple[str, ...]) -> str:
    """The text itself, or the singular of one that has a plural."""
    return id if isinstance(id, str) else id[0]


def forms(string: str | tuple[str, ...] | list[str] | None) -> list[str]:
    """A translation, or each of its plural forms."""
    return [string] if isinstance(string, str) else list(string or [""])


def catalogue(language: str, suffix: str) -> Path:
    return TRANSLATIONS / language / "LC_MESSAGES" / f"messages.{suffix}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_in_the_catalogue_and_no_other(language: str) -> None:
    with catalogue(language, "po").open("rb") as file:
        known = {first(message.id) for message in read_po(file) if message.id}
    assert known == texts(), "run scripts/translations"


def test_no_text_is_said_both_with_a_number_and_without() -> None:
    """The catalogue holds one entry for both, in which Python before 3.11.5 finds the text with a number alone."""
    with_plural = {message[0] for message in messages() if len(message) > 1}
    assert {message[0] for message in messages() if len(message) == 1} & with_plural == set()


def test_every_text_is_translated_to_portuguese() -> None:
    with catalogue("pt_BR", "po").open("rb") as file:
        messages = [message for message in read_po(file) if message.id]
    assert [message.id for message in messages if not all(forms(message.string)) or message.fuzzy] == []
    for message in messages:
        placeholders = re.findall(r"%\(\w+\)s", first(message.id))
        for form in forms(message.string):
            assert sorted(placeholders) == sorted(re.findall(r"%\(\w+\)s", form)), message.id


# Words of programmers, or a second word for what has one: a clinic says it with the words behind them.
NOT_SAID = {
    r"em claro|máscara|mascarad": "todos os dados; oculto",
    r"\bjunt(ad|ar\b)": "unificar",
    r"restrit": "sigilo reforçado",
    r"registr\w+ (o |um )?paciente|paciente registrad": "cadastrar",
    r"processos? de trabalho": "executor de tarefas",
    r"\brevist[oa]s?\b": "revisado",
    r"\bsozinh": "automaticamente",
    r"outra pessoa da administração": "outro administrador",
}


def test_portuguese_has_one_word_for_one_thing() -> None:
    with catalogue("pt_BR", "po").open("rb") as file:
        said = [form for message in read_po(file) if message.id for form in forms(message.string)]
    found = {text: word for text in said for pattern, word in NOT_SAID.items() if re.search(pattern, text, re.I)}
    assert found == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_catalogue_is_current(language: str) -> None:
    wanted = BytesIO()
    with catalogue(language, "po").open("rb") as source:
        write_mo(wanted, read_po(source))
    assert catalogue(language, "mo").read_bytes() == wanted.getvalue(), "run scripts/translations"
    with catalogue(language, "mo").open("rb") as compiled:
        assert gettext.GNUTranslations(compiled).charset() == "utf-8"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("", "pt-BR"), ("pt", "pt-BR"), ("pt-PT,pt;q=0.9", "pt-BR"), ("en-GB,en;q=0.8", "en"),
     ("fr,en;q=0.5", "en"), ("de", "pt-BR")],
)  # fmt: skip
def test_a_page_speaks_the_browsers_language(accepted: str, language: str, app: Flask) -> None:
    page = Browser(app).get("/login", headers={"Accept-Language": accepted}).get_data(as_text=True)
    assert f'<html lang="{language}">' in page


def test_a_choice_in_this_browser_comes_first(app: Flask) -> None:
    browser = Browser(app)
    answer = browser.post("/language", {"language": "en", "next": "/login"}, form="/login")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert '<html lang="en">' in browser.get("/login").get_data(as_text=True)
    browser.post("/language", {"language": "xx", "next": "/login"}, form="/login")
    assert '<html lang="en">' in browser.get("/login").get_data(as_text=True)
