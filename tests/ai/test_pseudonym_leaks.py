"""The scan finds what hiding may have overlooked, and cries no wolf."""

from __future__ import annotations

import pytest

from services.pseudonym_leaks import leaks


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("paciente JOSE refere", "José Álvares"), ("Josealvares", "José Álvares"),
        ("cpf 5 2 9.9 8 2 2 4 7-25", "529.982.247-25"),
        ('{"a":"Jos\\u00e9"}', "José Álvares"), ("fone 98765 4321", "+55 (11) 98765-4321"), ("J\u200bosé", "José"),
        ("em 3 de MAIO de 2024", "2024-05-03"), ("03/05/24", "2024-05-03"), ("20240503T10", "2024-05-03"),
        ("3/mai/2024", "2024-05-03"), ("ana@x.org", "Ana@x.org"), ("fx-123456", "FX123456"),
        ("na rua das flores nº 12", "Rua das Flores, nº 12"),
    ],
)  # fmt: skip
def test_it_sees_through_every_disguise(text: str, identifier: str) -> None:
    assert leaks(text, ["Outra Pessoa", identifier]) == [identifier]


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("semana passada", "Ana"), ("há 3 dias com dores", "Maria Dias das Dores"),
        ("[DATA-1: 2024-05-03]", "2024-05-03"),
        ("PA 120/80 mmHg, FC 72", "12080725"), ("em 2024", "2024-05-03"), ("[PESSOA-1] está bem", "Maria Souza"),
        ("x", ""),
    ],
)  # fmt: skip
def test_it_reports_nothing_that_is_not_there(text: str, identifier: str) -> None:
    assert leaks(text, [identifier]) == []
