"""What services and models say is wrong, in the reader's language.

Their sentences are English, for they are also the API's. The catalogue knows each of them (scripts/translations
collects them: web/forms/sentence_extraction.py), so a page translates the sentence itself.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from flask_babel import gettext

Context = dict[str, Any]
HOLE = re.compile(r"%\\\((\w+)\\\)s")  # of an escaped template

# Sentences with a value in them that is known only when they are said: a page finds the one that fits and
# translates it with its values. Every such sentence of a service is here, or in the list of the test
# (tests/web/test_sentences.py) that says why no page shows it.
TEMPLATES = (
    "%(error)s; lines %(first)s to %(last)s were not taken",
    "%(name)s is longer than %(maximum)s characters",
    "%(name)s is missing",
    "%(program)s ended with %(code)s: %(said)s.",
    "%(refused)s; %(also)s: %(value4)s",
    "1 to %(lifetime_max)s days",
    "1 to %(longest)s characters, not only spaces",
    "A file can't be read or written: %(error)s.",
    "BACKUP_AGE_RECIPIENT: %(error)s",
    "It ended with an unexpected %(error)s.",
    "The audit trail of the restored database is not intact, in %(report)s places: run `sigilo audit verify` on"
    " the database itself.",
    "The backup role would not see every row of %(unseen)s: it needs a policy there.",
    "The clock of this machine and the database's differ by %(skew)s s: set them right. Backups are told apart,"
    " kept and locked by time.",
    "The database refused it (%(error)s).",
    "The drill key can't be kept (%(error)s): DRILL_KEYS names a folder of the drills' worker.",
    "The drill makes about %(needed)s MiB of WAL, and its server archives every change (archive_mode is on): past"
    " DRILL_ARCHIVED_MIB (%(archived)s) that could tear a gap into the archive. Name in DRILL_DATABASE_URL a server of"
    " its own, with archive_mode=off and wal_level=minimal (docs/disaster-recovery.md).",
    "The drill needs about %(needed)s MiB, and DRILL_ROOM_MIB gives %(room)s: give drills more.",
    "The drill needs about %(needed)s MiB, and the disk of its server has %(free)s MiB free, a fifth of which stays for"
    " others: free some, or name another server in DRILL_DATABASE_URL.",
    "The key does not open this backup: it was encrypted to %(recipients)s.",
    "The manifest of %(name)s can't be read: %(error)s.",
    "The part %(part)s can't be read: %(error)s.",
    "The part %(part)s is damaged: it is not what was written.",
    "The restored database has other row counts than the manifest says: %(wrong)s.",
    "The server for drills is PostgreSQL %(major)s, older than the one that was dumped.",
    "The server is PostgreSQL %(major)s and no pg_dump of that version is here (found: %(others)s): install"
    " postgresql-client-%(value5)s, or name the folder of its programs in POSTGRES_PROGRAMS.",
    "The store failed: %(error)s.",
    "a whole number from %(low)s to %(high)s",
    "another patient here has this %(kind)s: see whether they are one person",
    "answered %(words)s",
    "cannot be opened: %(error)s",
    "column %(column)s is not valid UTF-8, or has a NUL character",
    "does not point to a %(kind)s",
    "has %(cells)s cells where the header names %(header)s columns",
    "has more than %(cid10_max)s CID-10 codes",
    "is %(detected)s, and %(wanted)s was asked for",
    "its id is already that of another, different entry (%(where)s)",
    "names no %(kind)s",
    "not well-formed JSON: %(error)s",
    "nothing to import: it holds %(held)s",
    "points to a %(known)s, not to a %(kind)s",
    "the document is longer than %(line_max)s MiB; split it into NDJSON, one resource or bundle a line",
    'the key "%(key)s" stands twice in one object',
    "the line is longer than %(line_max)s MiB; split it into NDJSON, one resource or bundle a line",
    "the role %(acting)s may have %(possible)s",
    "there is a second, different %(kind)s",
)


def said(sentence: str) -> str:
    """A service's sentence, translated where the catalogue has it."""
    if not sentence:
        return ""
    found = str(gettext(sentence))
    if found != sentence:
        return found
    for pattern, template in _patterns():
        match = pattern.fullmatch(sentence)
        if match is not None:
            # A value with a space in it may be a sentence itself; one word is a name, and no word of ours.
            values = {name: said(value) if " " in value else value for name, value in match.groupdict().items()}
            return str(gettext(template, **values))
    return sentence


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """What a sentence made from each template looks like."""
    return tuple((re.compile(HOLE.sub(r"(?P<\1>.+?)", re.escape(template))), template) for template in TEMPLATES)


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
