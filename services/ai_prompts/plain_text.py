"""Words of a model as plain text: no link, no image, no markup, nothing unseen. Pages escape it besides.

A record may have told the model to send somebody somewhere ("![x](https://…?cpf=…)"); nothing that could be followed,
loaded or mistaken for the page is left, however it was nested.
"""

from __future__ import annotations

import html
import re
import unicodedata

from services.pseudonym_tokens import canonical

IMAGE = re.compile(r"!\[[^\]]*\](?:\([^)]*\)?|\[[^\]]*\])")
LINK = re.compile(r"\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\([^)]*\)?")
REFERENCE = re.compile(r"^\s*\[[^\]]+\]:\s*\S+.*$", re.MULTILINE)
COMMENT = re.compile(r"<!--.*?(?:-->|$)|<!\[CDATA\[.*?(?:\]\]>|$)", re.DOTALL)
SCRIPT = re.compile(r"<\s*(script|style|iframe|object|svg|math)\b.*?(?:<\s*/\s*\1\s*>|$)", re.DOTALL | re.IGNORECASE)
TAG = re.compile(r"<\s*[/!?a-zA-Z][^<>]*(?:>|$)|<(?=\s*[/!?a-zA-Z])")
SCHEME = re.compile(
    r"(?:(?<![a-z0-9+.\-])[a-z0-9+.\-]*\s?:\s?//|\b(?:javascript|vbscript|mailto|tel|sms|file|blob|whatsapp):"
    r"|\bdata:\s?\w+/[\w.+-]+[;,])\S*",
    re.IGNORECASE,
)
_ENDINGS = (
    "com", "net", "org", "br", "io", "dev", "app", "info", "biz", "me", "co", "ru", "cn", "xyz", "top", "site",
    "online", "link", "click", "page", "cloud", "gov", "edu",
)  # fmt: skip
# "Bem.Com dor" lacks a space and is no host.
HOST = re.compile(
    r"\b[Ww]{3}\.\S+|(?<![A-Za-z0-9.\-])(?:[A-Za-z0-9\-]+\.)+"
    rf"(?:{'|'.join([*_ENDINGS, *map(str.upper, _ENDINGS)])})\b(?:[:/?#]\S*)?"
)
ADDRESS = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?:/\S*)?")
MAIL = re.compile(r"[^\s@<>()\[\]]+@[^\s@<>()\[\]]+")
SIGNS = re.compile(r"\*\*|__|`+|~~|^\s{0,3}(?:#{1,6}|>)\s+|^\s*[-*+]\s+", re.MULTILINE)
ROUNDS_MAX = 8


def plain(text: str) -> tuple[str, int]:
    """``text`` in one line of plain words, and how many links, images, tags and addresses were taken out of it."""
    taken = 0
    for _ in range(ROUNDS_MAX):
        before = text
        text = canonical(_seen(html.unescape(text)))
        for pattern, instead in REMOVED:
            text, count = pattern.subn(instead, text)
            taken += count
        text = " ".join(SIGNS.sub("", text).split())
        if text == before:
            return text.strip(" |"), taken
    return "", taken + 1  # nested deeper than anybody writes


def _seen(text: str) -> str:
    """Without control, format (zero-width, bidirectional), private and unassigned characters; lines stay apart."""
    kept = (
        "\n" if each in "\n\r\u2028\u2029\x85" else " " if unicodedata.category(each) == "Zs" or each == "\t" else each
        for each in unicodedata.normalize("NFC", text)
    )
    return "".join(each for each in kept if each == "\n" or unicodedata.category(each)[0] != "C")


REMOVED = (
    (COMMENT, " "),
    (SCRIPT, " "),
    (IMAGE, " "),
    (LINK, r"\g<text>"),
    (REFERENCE, " "),
    (TAG, " "),
    (SCHEME, " "),
    (HOST, " "),
    (ADDRESS, " "),
    (MAIL, " "),
)
