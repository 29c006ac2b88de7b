"""Whoever a text names is hidden: a patient whose name is an everyday word, and people whom no table knows."""

from __future__ import annotations

import pytest

from services.pseudonym_leaks import leaks
from services.pseudonyms import Pseudonyms


def hidden(text: str, *known: str) -> str:
    table = Pseudonyms(shift_days=-100)
    for name in known:
        table.known("person", name)
    left = table.hide(text)
    assert table.put_back(left) == text
    return left


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Rosa Almeida", "Rosa refere dor"), ("Rosa Almeida", "Queixa: Rosa tem dor"),
        ("Rosa Almeida", "ROSA, 58 ANOS"),
        ("Rosa Almeida", "Sem febre.\nRosa dorme bem"),
        ("Clara Leme", "CLARA COM TOSSE"), ("Clara Leme", "a sra clara veio"),
        ("Clara Leme", "Queixa: Clara tem tosse"), ("Bento Dias", "Bento nega febre"),
        ("Bento Dias", "paciente bento com dor"),
        ("Bento Dias", "pcte bento"), ("Maria Clara Leme", "Clara nega febre"), ("Vitória Flor", "• Vitória acordou"),
    ],
)  # fmt: skip
def test_a_first_name_that_is_an_everyday_word_is_hidden_where_it_is_a_name(name: str, text: str) -> None:
    assert leaks(text, [name]) == [name]
    assert leaks(hidden(text, name), [name]) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Rosa Almeida", "secreção rosa"), ("Clara Leme", "urina clara"), ("Maria das Dores Leite", "Dores nas costas"),
        ("Ana Dias", "HÁ 3 DIAS COM FEBRE"), ("Bento Costa", "dor nas costas"),
        ("Rita Leite", "Leite materno exclusivo"),
    ],
)  # fmt: skip
def test_an_everyday_word_stays_where_it_is_one(name: str, text: str) -> None:
    assert hidden(text, name) == text
    assert leaks(text, [name]) == []


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Encaminhado por Carlos Mendonça", ("Carlos", "Mendonça")), ("ENCAMINHADO POR CARLOS MENDONÇA", ("CARLOS",)),
        ("Paciente Jonas Teixeira, 40 anos", ("Jonas", "Teixeira")), ("Paciente Jonas refere dor", ("Jonas",)),
        ("Paciente Yusleidy Quixabeira", ("Yusleidy", "Quixabeira")), ("Joana Souza (mãe) informa", ("Joana", "Souza")),
        ("Joana (mãe) informa", ("Joana",)), ("mae joana souza", ("joana", "souza")), ("veio com marta", ("marta",)),
        ("joana souza telefonou", ("joana", "souza")), ("Falar com Benicio Barros Peixoto", ("Benicio", "Peixoto")),
        ("filho de maria", ("maria",)), ("nascida em 14-03", ("14-03",)), ("DN 140357", ("140357",)),
        ("D.N.: 14/03", ("14/03",)), ("Nasc. 14.03.57", ("14.03",)), ("recado 33334444", ("33334444",)),
        ("no 33334444 à noite", ("33334444",)), ("perfil @joanasouza", ("joanasouza",)),
        ("mora no bairro Vila Nova", ("Vila", "Nova")), ("reside em Ribeirão Preto", ("Ribeirão", "Preto")),
        ("Natural de São José do Rio Preto - SP", ("José", "Preto", "SP")),
        ("procedente de Campinas/SP", ("Campinas",)),
        ("morador da cidade de Olinda", ("Olinda",)),
    ],
)  # fmt: skip
def test_whom_no_table_knows_is_hidden(text: str, gone: tuple[str, ...]) -> None:
    left = hidden(f"{text}. Bem.")
    assert not any(each in left for each in gone), left


@pytest.mark.parametrize(
    "text",
    [
        "Doença de Carlos Chagas", "Doença de Parkinson", "Síndrome de Guillain-Barré", "Sinal de Murphy positivo",
        "Teste de Allen normal", "Doença de Wilson", "Doença de Charcot-Marie-Tooth", "Hospital Maria Lucinda",
        "Em uso de Yasmin", "Trocou Diane 35 por Selene", "Paciente Idoso Hipertenso", "Paciente Refere Dor",
        "PACIENTE REFERE DOR TORÁCICA", "Paciente Gestante Tabagista", "Encaminhado por Cardiologia",
        "Encaminhado pela UPA", "Acompanhada por Dor Crônica", "Diabetes (mãe)", "Câncer de Mama (mãe)",
        "Pressão Alta (pai)", "mora em casa própria", "reside em zona rural", "natural e corado",
        "retorno em 10-12 dias",
        "aguardar de 05-10 min", "25000000 UI", "PA 120/80 em 3 dias", "norma técnica", "cicatriz sara bem",
        "íris azul", "sinal vital estável", "vera dor", "tais sintomas",
    ],
)  # fmt: skip
def test_diseases_drugs_and_findings_are_nobody(text: str) -> None:
    assert hidden(f"{text}.") == f"{text}."


def test_more_of_a_known_name_is_the_same_person() -> None:
    left = hidden("Carla veio. Paciente Carla Quixabeira de Souza dorme.", "Carla Quixabeira")
    assert left == "[PESSOA-1B] veio. Paciente [PESSOA-1C] dorme."
