"""Strict JSON: what the standard refuses, what it leaves open, and what no database stores."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.import_json import DEPTH_MAX, JsonRefused, read_json, safe_key

# Allowed by RFC 8259, and still refused: PostgreSQL cannot store it.
STRICTER = {"y_string_null_escape.json"}


def refused(data: bytes) -> JsonRefused:
    with pytest.raises(JsonRefused) as caught:
        read_json(data)
    return caught.value


def test_security_28_json_test_suite(shared_data: Path) -> None:
    files = sorted((shared_data / "hostile" / "JSONTestSuite").iterdir())
    assert len(files) == 147
    for file in files:
        began = time.monotonic()
        try:
            read_json(file.read_bytes())
            is_read = True
        except JsonRefused:
            is_read = False
        assert time.monotonic() - began < 2, file.name
        if file.name.startswith("n_") or file.name in STRICTER:
            assert not is_read, file.name
        elif file.name.startswith("y_"):
            assert is_read, file.name


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": 1, "a": 1}', 'the key "a" stands twice in one object'),
        (b'{"secret value": 1, "secret value": 2}', 'the key "?" stands twice in one object'),
        (b"[NaN]", "not well-formed JSON: NaN and Infinity are no JSON numbers"),
        (b"[-Infinity]", "not well-formed JSON: NaN and Infinity are no JSON numbers"),
        (b"[1e999]", "a number is too large"),
        (b"9" * 5000, "a number has too many digits"),
        (b'"\xff"', "not valid UTF-8"),
        (b"", "not well-formed JSON: expecting value at column 1"),
        (b'{"a": tru', "not well-formed JSON: expecting value at column 7"),
    ],
)
def test_refusals_say_why_and_never_repeat_the_input(data: bytes, reason: str) -> None:
    assert refused(data).reason == reason


def test_line_of_a_fault() -> None:
    assert refused(b'{\n"a": 1,\n}').line == 3
    assert refused(b'{\n\n"a": "\xc3"}').line == 3


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        (rb'{"name": [{"text": "a\u0000"}]}', "/name/0/text"),
        (rb'{"name": "\ud800"}', "/name"),
        (rb'{"name": "\uDFFF tail"}', "/name"),
        (rb'{"a\u0000": 1}', ""),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_pointer(data: bytes, pointer: str) -> None:
    assert refused(data).pointer == pointer


def test_an_escaped_backslash_is_no_escape() -> None:
    assert read_json(rb'"\\u0000 \\ud800"') == r"\u0000 \ud800"
    assert read_json(rb'"\ud83d\ude00"') == "😀"


def test_depth_is_bounded_and_brackets_in_strings_do_not_count() -> None:
    assert read_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    assert refused(b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1)).reason == f"nested deeper than {DEPTH_MAX} levels"
    assert read_json(b'"' + b"[" * 1000 + b'"') == "[" * 1000


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 200 + b'"' + b'\\"' * 2_000_000,
        b"[" * 200 + b'"' + b'\\"' * 2_000_000 + b"\\",
    ],
)
def test_security_24_bombs_end_quickly(data: bytes) -> None:
    began = time.monotonic()
    refused(data)
    assert time.monotonic() - began < 5


def test_byte_order_mark_is_passed_over() -> None:
    assert read_json(b"\xef\xbb\xbf{}") == {}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda nested: st.lists(nested) | st.dictionaries(st.text(), nested),
        max_leaves=20,
    )
)
def test_reads_what_was_written(value: object) -> None:
    text = json.dumps(value)
    if r"\u0000" in text.replace(r"\\", ""):
        refused(text.encode())
    else:
        assert read_json(text.encode()) == value


def test_unusual_keys_do_not_reach_a_pointer() -> None:
    assert [safe_key(key) for key in ("name", "_birthDate", 3, "12", "João da Silva", "a/b", "x" * 65)] == [
        "name", "_birthDate", "3", "12", "?", "?", "?",
    ]  # fmt: skip
