"""What services and models say is wrong, in the reader's language.

Their sentences are English, for they are also the API's. The catalogue knows each of them (scripts/translations
collects them from ``services``), so a page translates the sentence itself.
"""

from __future__ import annotations

from typing import Any

from flask_babel import gettext

Context = dict[str, Any]


def said(sentence: str) -> str:
    """A service's sentence, translated where the catalogue has it."""
    return str(gettext(sentence.replace("%", "%%"))).replace("%%", "%") if sentence else ""


def what_is_wrong(kind: str, context: Context) -> str:
    """One of pydantic's errors by its type, as a sentence under the field. It repeats nothing that was typed."""
    if kind == "value_error":
        return said(str(context["error"]))
    if kind == "string_too_short" and int(context["min_length"]) > 1:
        sentence = gettext("At least %(number)s characters.", number=context["min_length"])
    elif kind in ("missing", "string_too_short"):
        sentence = gettext("Fill this in.")
    elif kind == "string_too_long":
        sentence = gettext("At most %(number)s characters.", number=context["max_length"])
    elif kind == "too_long":
        sentence = gettext("At most %(number)s of them.", number=context["max_length"])
    elif kind == "greater_than_equal":
        sentence = gettext("At least %(number)s.", number=context["ge"])
    elif kind == "less_than_equal":
        sentence = gettext("At most %(number)s.", number=context["le"])
    elif kind in ("int_parsing", "float_parsing", "int_from_float"):
        sentence = gettext("A number, in digits.")
    elif kind in ("literal_error", "enum"):
        sentence = gettext("Choose one of the list.")
    elif kind.startswith(("date", "timezone")):
        sentence = gettext("A date and time that exist, such as 24/11/2026 10:42.")
    else:
        sentence = gettext("This can't be accepted as it is. Check it.")
    return str(sentence)
