"""What a bundle tells that it must not: somebody of the database, or a secret of the settings.

The bundle's words are looked up in the database and not the other way round: there may be a million people, and a
bundle is some hundred kilobytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql
from pydantic import SecretStr

from config import Principal, Settings
from models.connection import connect
from models.text import fold
from services.field_encryption import FieldCipher, field_cipher
from services.identifier_check import normalize

WORD = re.compile(r"[^\W\d_]{3,}")  # shorter ones (da, de, e) join names and tell nobody apart
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
GROUPS = re.compile(r"\d+(?:[ .\-/()]{1,3}\d+)*")  # digits, and others as near to them as in "(11) 98888-7777"
NUMBER_DIGITS = range(8, 16)
PASSPORT = re.compile(r"(?<![^\W_])[A-Za-z]{1,3}\d{5,9}(?![^\W_])")  # as many countries number them
TOKEN = re.compile(r"sgl_[\w-]{20,}|AGE-SECRET-KEY-1\w{20,}")
SHORTEST_SECRET = 6
PEOPLE = (
    "SELECT full_name, social_name, mother_name, email, phone FROM patients",
    "SELECT full_name, NULL, NULL, email, NULL FROM users",
)
DOCUMENTS = {"cpf": ("patients", "users"), "cns": ("patients",), "passport": ("patients",)}


def find_told(contents: Mapping[str, str], secrets_of: Settings | None, people_of: Settings | None) -> set[str]:
    """What ``contents`` (name → text) tell, each in words that do not repeat it: "a name in logs/0.log". Looked for are
    the secrets of the one settings, and whoever is in the database of the others. Raises psycopg.Error."""
    told = {f"a token or key in {name}" for name, text in contents.items() if TOKEN.search(text)}
    if secrets_of is not None:
        secrets = list(_secrets(secrets_of))
        for name, text in contents.items():
            if any(secret in text for secret in secrets):
                told.add(f"a secret of the settings in {name}")
    if people_of is not None:
        texts = {name: _Text(text) for name, text in contents.items()}
        with connect(people_of.url_for(Principal.MIGRATOR), connect_timeout=5) as connection:
            told.update(_people(connection, texts), _documents(connection, texts, field_cipher(people_of)))
    return told


class _Text:
    """The words of one text as names are compared: folded, alone and in twos."""

    def __init__(self, text: str) -> None:
        words = WORD.findall(fold(text))
        self.words = frozenset(words)
        self.pairs = frozenset(pairwise(words))
        self.emails = frozenset(found.lower() for found in EMAIL.findall(text))
        self.numbers = frozenset(_numbers(text))
        self.passports = frozenset(PASSPORT.findall(text))

    def has_name(self, words: Sequence[str]) -> bool:
        """All of a name of one word; of a longer one any two that stand side by side."""
        if len(words) < 2:
            return len(words) == 1 and len(words[0]) > 4 and words[0] in self.words
        return any(pair in self.pairs for pair in pairwise(words))


def _numbers(text: str) -> Iterator[str]:
    """The digits of whatever may be a number of somebody: one group of digits, or several side by side, wherever in the
    line it begins and ends; of Brazil's telephones without the country's 55 too."""
    for found in GROUPS.finditer(text):
        groups = re.findall(r"\d+", found[0])
        for first in range(len(groups)):
            digits = ""
            for group in groups[first : first + NUMBER_DIGITS.stop]:
                digits += group
                if len(digits) >= NUMBER_DIGITS.stop:
                    break
                if len(digits) in NUMBER_DIGITS:
                    yield digits
                    yield _without_country(digits)


def _without_country(digits: str) -> str:
    return digits[2:] if len(digits) in (12, 13) and digits.startswith("55") else digits


def _people(connection: psycopg.Connection[Any], texts: Mapping[str, _Text]) -> Iterator[str]:
    emails = frozenset[str]().union(*(text.emails for text in texts.values()))
    numbers = frozenset[str]().union(*(text.numbers for text in texts.values()))
    for place, statement in enumerate(PEOPLE):
        with connection.cursor(name=f"people_{place}") as cursor:
            cursor.itersize = 5_000
            for *names, email, phone in cursor.execute(statement):
                words = [WORD.findall(fold(name)) for name in names if name]
                for where, text in texts.items():
                    if any(map(text.has_name, words)):
                        yield f"a name in {where}"
                address = (email or "").lower()
                if address in emails:
                    places = (where for where, text in texts.items() if address in text.emails)
                    yield from (f"an e-mail address in {where}" for where in places)
                digits = _without_country(re.sub(r"\D", "", phone or ""))
                if digits in numbers:
                    places = (where for where, text in texts.items() if digits in text.numbers)
                    yield from (f"a phone number in {where}" for where in places)


def _documents(
    connection: psycopg.Connection[Any], texts: Mapping[str, _Text], cipher: FieldCipher
) -> Iterator[str]:
    """Numbers that are a CPF, CNS or passport of somebody here: they are sealed, and found by their index."""
    for place, text in texts.items():
        for kind, tables in DOCUMENTS.items():
            given = text.passports if kind == "passport" else text.numbers
            valid = [found for each in given if (found := normalize(kind, each)) is not None]
            indexes = [index for each in valid for index in cipher.blind_indexes(kind, each)]
            for table in tables if indexes else ():
                asked = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} = ANY(%s))").format(
                    sql.Identifier(table), sql.Identifier(f"{kind}_index")
                )
                row = connection.execute(asked, (indexes,)).fetchone()
                if row is not None and row[0]:
                    yield f"a {kind if kind == 'passport' else kind.upper()} in {place}"


def _secrets(settings: Settings) -> Iterator[str]:
    """Every secret, each key of a list of them, and the passwords in URLs."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, SecretStr):
                yield from filter(_is_long_enough, _parts(each.get_secret_value()))


def _parts(secret: str) -> Iterator[str]:
    yield secret
    yield from secret.replace(",", " ").split()
    password = urlsplit(secret).password if "://" in secret else None
    if password:
        yield password
        yield unquote(password)


def _is_long_enough(secret: str) -> bool:
    return len(secret) >= SHORTEST_SECRET
