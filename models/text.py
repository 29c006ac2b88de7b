"""Folding text for search and sorting: the one rule, in Python and in SQL.

``sigilo_fold(text)`` in the database is the same function. PostgreSQL's ``unaccent`` extension is not
everywhere, and C collation would sort Ávila behind Zilda, so names sort and search by their folded form.
"""

from __future__ import annotations

import re
import unicodedata

COMBINING = re.compile("[\u0300-\u036f]+")
ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}



def fold(value: str) -> str:
    """Text without accents and in ASCII lower case: ``"Hipertensão"`` → ``"hipertensao"``."""
    return COMBINING.sub("", unicodedata.normalize("NFKD", value)).translate(ASCII_LOWER)
