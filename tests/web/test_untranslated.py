"""No template says anything in one language only: its words stand inside ``_()``, or are the same in every language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from web.app import TEMPLATES

WORD = re.compile(r"[^\W\d_]{2,}")
ATTRIBUTES = {"aria-label", "aria-description", "title", "placeholder", "alt", "label", "data-too-large"}
TRANSLATES = {"_", "N_", "gettext", "ngettext", "pgettext"}
# Names, which no language translates.
NAMES = {"Sigilo", "CPF", "CNS", "CID", "API", "JSON", "OpenAPI", "PostgreSQL", "Redis", "FHIR", "CSV", "Synthea"}
UNITS = {"ms", "min", "kB", "MB", "GB", "MiB"}
# A constant in an expression that reads like a sentence: capital first, and a space.
SENTENCE = re.compile(r"^[A-ZÀ-Ý][^\W\d_]*[ ,.!?].*[^\W\d_]", re.DOTALL)
PAGES = sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.html"))
HOLE = "x"  # for a value: no word, and fine wherever markup wants a name
# In the text of a macro that writes attributes; and paths, which are no words.
NO_WORDS = re.compile(r"""[\w:-]+=("[^"]*"|'[^']*')|\S*/\S+|\bx+\b""")


def says_something(text: str) -> bool:
    return bool(set(WORD.findall(NO_WORDS.sub(" ", text))) - NAMES - UNITS)


class Words(HTMLParser):
    """Collects the words between tags and in attributes that people read."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "kbd", "code"):
            self._silent.append(tag)
        for name, value in attrs:
            if name in ATTRIBUTES and value:
                self._note(value)

    def handle_endtag(self, tag: str) -> None:
        if self._silent and self._silent[-1] == tag:
            self._silent.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._note(data)

    def _note(self, text: str) -> None:
        if says_something(text):
            self.found.append(" ".join(text.split()))


def parts(node: nodes.Node) -> Iterator[nodes.Node]:
    """Everything in ``node``, in the order of the file, but for what is inside a translation."""
    for child in node.iter_child_nodes():
        if isinstance(node, nodes.Output) and not isinstance(child, nodes.TemplateData):
            yield nodes.TemplateData(HOLE)
        if isinstance(child, nodes.Call) and isinstance(child.node, nodes.Name) and child.node.name in TRANSLATES:
            continue
        yield child
        yield from parts(child)


def untranslated(source: str) -> list[str]:
    tree = Environment(extensions=["jinja2.ext.i18n"], autoescape=True).parse(source)
    text, sentences = [], []
    for node in parts(tree):
        if isinstance(node, nodes.TemplateData):
            text.append(node.data)
        elif isinstance(node, nodes.Const) and isinstance(node.value, str) and SENTENCE.match(node.value):
            sentences += [node.value] if says_something(node.value) else []
    words = Words()
    words.feed("".join(text))
    words.close()
    return words.found + sentences


def test_there_are_templates() -> None:
    assert len(PAGES) > 20


@pytest.mark.parametrize("page", PAGES)
def test_a_template_has_no_words_of_its_own(page: str) -> None:
    assert untranslated(Path(TEMPLATES, page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Nothing here</p>", ["Nothing here"]),
        ('<p>{{ _("Nothing here") }} {{ count }} ms · CPF</p>', []),
        ('<input placeholder="Your name" name="full name">', ["Your name"]),
        ('<input placeholder="{{ _(\'Your name\') }}">', []),
        ("{% if x %}<b>{{ y }} days</b>{% endif %}", ["x days"]),
        ('{{ empty("Nothing to see") }}', ["Nothing to see"]),
        ('{{ empty(_("Nothing to see"), "box") }}', []),
        ("{% for x in y %}<td>{{ x }}</td>{% else %}<td>None yet</td>{% endfor %}", ["None yet"]),
        ('<kbd>Esc</kbd><svg><title>{{ a }}</title></svg>', []),
    ],
)
def test_the_finder_finds(source: str, found: list[str]) -> None:
    assert untranslated(source) == found
