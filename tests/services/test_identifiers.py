"""CPF, CNS and passport: what is accepted, how it is kept, how it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identifier_check import formatted, normalize
from services.masking import partial

nine_digits = st.text("0123456789", min_size=9, max_size=9).filter(lambda digits: len(set(digits)) > 1)


def with_check_digits(digits: str) -> str:
    """Receita Federal's rule, written independently of the library."""
    for length in (10, 11):
        total = sum(weight * int(digit) for weight, digit in zip(range(length, 1, -1), digits, strict=True))
        digits += str(total * 10 % 11 % 10)
    return digits


@pytest.mark.parametrize(
    ("kind", "value", "valid"),
    [
        ("cpf", "52998224725", True),
        ("cpf", "529.982.247-25", True),
        ("cpf", " 529.982.247-25 ", True),
        ("cpf", "11111111111", False),
        ("cpf", "52998224726", False),
        ("cpf", "5299822472", False),
        ("cpf", "529 982 247 25", False),
        ("cpf", "٥٢٩٩٨٢٢٤٧٢٥", False),
        ("cpf", "", False),
        ("cns", "700000000000005", True),
        ("cns", "700 0000 0000 0005", True),
        ("cns", "100000000000007", True),
        ("cns", "100000000060018", True),
        ("cns", "100000000000015", False),
        ("cns", "300000000000000", False),
        ("passport", "FD123456", True),
        ("passport", "x", False),
        ("passport", "AB\n12345", False),
    ],
)
def test_check_digits_of_the_security_list(kind: str, value: str, valid: bool) -> None:
    assert (normalize(kind, value) is not None) is valid


@given(nine_digits)
def test_every_valid_cpf_is_accepted_in_both_forms_and_any_wrong_digit_refused(digits: str) -> None:
    cpf = with_check_digits(digits)
    shown = formatted("cpf", cpf)
    assert normalize("cpf", cpf) == normalize("cpf", shown) == cpf
    wrong = cpf[:10] + str((int(cpf[10]) + 1) % 10)
    assert normalize("cpf", wrong) is None


@given(nine_digits)
def test_a_partial_cpf_lines_up_with_the_clear_one(digits: str) -> None:
    cpf = with_check_digits(digits)
    clear, part = formatted("cpf", cpf), partial("cpf", cpf)
    assert part is not None
    assert part[4:11] == clear[4:11] and part[:3] == "***" and part[-2:] == "**"


@given(st.text(max_size=30))
def test_no_text_makes_the_check_fail_in_another_way(value: str) -> None:
    for kind in ("cpf", "cns", "passport"):
        digits = normalize(kind, value)
        assert digits is None or normalize(kind, digits) == digits
