"""What is hidden comes back to the character, and nothing of it is left in between."""

from __future__ import annotations

import random
import time
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.demo_conditions import all_conditions
from services.pseudonym_leaks import leaks
from services.pseudonym_tokens import TOKEN
from services.pseudonyms import Pseudonyms

PATIENT = "Mária das Dores Conceição Leite"
SOCIAL = "Dodô Conceição"
MOTHER = "Iracema d'Ávila Leite"
DOCTOR = "João Guilherme Sá"
ADDRESS = "Rua Barão de Itapetininga, 221, ap 45 - República, São Paulo - SP, 01042-001"
KNOWN = [PATIENT, SOCIAL, MOTHER, DOCTOR, ADDRESS, "52998224725", "700000000000005", "FX123456", "11987654321"]
BIRTH = date(1980, 5, 3)


def table(**options: int) -> Pseudonyms:
    made = Pseudonyms(**options)
    made.known("person", PATIENT, SOCIAL)
    made.known("person", MOTHER)
    made.known("person", DOCTOR, None, "")
    made.known("cpf", "52998224725")
    made.known("cns", "700000000000005")
    made.known("passport", "FX123456")
    made.known("phone", "(11) 98765-4321")
    made.known("email", "dodo@exemplo.com.br")
    made.known("address", ADDRESS)
    return made


def ways_of_writing(seed: random.Random, digits: str) -> str:
    return "".join(digit + seed.choice(["", "", " ", ".", "-"]) for digit in digits).strip(" .-")


WRITTEN = [
    "Mária das Dores", "MARIA DAS DORES CONCEICAO LEITE", "maria conceição", "Ma\u0301ria", "M\u00e1\u200bria",
    "Dodô", "dodo conceicao", "Iracema", "IRACEMA D'AVILA", "joao guilherme", "Dr. João G. Sá", "mariaconceicaoleite",
    "maria.dores.conceicao@exemplo.com.br", "dodo@exemplo.com.br", "529.982.247-25", "52998224725",
    "529 982 247 25", "5 2 9 9 8 2 2 4 7 2 5", "***.982.247-**", "700 0000 0000 0005", "700000000000005",
    "fx 123456", "FX-123456", "(11) 98765-4321", "11 98765 4321", "+55 11 98765-4321", "11987654321", "98765-4321",
    "011 98765.4321", "R. Barão de Itapetininga, 221", "rua barao de itapetininga", "República", "CEP 01042001",
    "01042-001", "03/05/1980", "3/5/80", "3.5.1980", "03-05-1980", "1980-05-03", "19800503", "03051980",
    "3 de maio de 1980", "3 DE MAIO DE 1980", "03 mai 1980", "3/mai/80", "3-mai-1980", "May 3, 1980",
    "três de maio de mil novecentos e oitenta", "1980-05-03T14:30:00Z",
]  # fmt: skip
STAY = [
    "PA 120/80 mmHg", "PA 12/8", "losartana 50 mg 12/12 h", "dor 7/10", "há 3 dias com dores nas costas",
    "leite materno", "desde 2014", "entre 2010-2014", "FC 72 bpm, FR 18 irpm", "36,5 °C", "SpO2 98%",
    "glicemia 1.250 mg/dL", "CID I10 e E11.9", "58 anos", "às 14:30", "5000-6000 UI", "PAI HIPERTENSO E MÃE DIABÉTICA",
    "hemoglobina 13,2 g/dL; leucócitos 8.500", "Fez 1 comprimido 8/8 h por 10 dias", "caiu na rua há 2 horas",
]  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN)
def test_every_way_of_writing_an_identifier_is_hidden(written: str) -> None:
    text = f"Relato: {written}, conforme conversado."
    pseudonyms = table()
    hidden = pseudonyms.hide(text)
    assert hidden != text
    assert leaks(hidden, [*KNOWN, "dodo@exemplo.com.br", BIRTH.isoformat()]) == []
    assert pseudonyms.put_back(hidden) == text


@pytest.mark.parametrize("written", STAY)
def test_what_a_clinic_writes_otherwise_stays(written: str) -> None:
    assert table().hide(f"Refere {written}.") == f"Refere {written}."


PIECES = st.one_of(
    st.sampled_from(WRITTEN),
    st.sampled_from(STAY),
    st.sampled_from(["[PESSOA-1]", "pessoa-1", "<CPF-1>", "[DATA-1: 2020-01-01]", "[", "]", "DATA-", "-1", ": "]),
    st.text(max_size=12),
    st.dates(date(1900, 1, 1), date(2099, 12, 31)).map(lambda day: f"{day:%d/%m/%Y}"),
    st.integers(0, 10**15).map(str),
)


@settings(max_examples=400, deadline=None)  # a busy machine takes its time; how long it may, another test says
@given(st.lists(PIECES, max_size=8).map("".join), st.lists(PIECES, max_size=8).map(" ".join))
def test_what_was_hidden_comes_back_to_the_character(glued: str, spaced: str) -> None:
    pseudonyms = table()
    for text in (glued, spaced):
        hidden = pseudonyms.hide(text)
        assert pseudonyms.put_back(hidden) == text
        assert pseudonyms.hide(text) == hidden
        kept = Pseudonyms.unpack(pseudonyms.packed())
        assert kept.put_back(hidden) == text
        assert kept.hide(text) == hidden


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(WRITTEN), min_size=1, max_size=6), st.lists(st.sampled_from(STAY), max_size=6),
    st.sampled_from([", ", "; ", "\n", " e ", " – ", ". "]), st.randoms(use_true_random=False),
)  # fmt: skip
def test_nothing_of_it_is_left(hide: list[str], stay: list[str], between: str, seed: random.Random) -> None:
    cpf = ways_of_writing(seed, "52998224725")
    pieces = [*hide, *stay, f"CPF {cpf}", ways_of_writing(seed, "700000000000005")]
    seed.shuffle(pieces)
    hidden = table().hide(between.join(pieces))
    assert leaks(hidden, [*KNOWN, "dodo@exemplo.com.br", BIRTH.isoformat()]) == []


@given(
    st.lists(st.dates(date(1930, 1, 1), date(2026, 12, 31)), min_size=2, max_size=6),
    st.sampled_from(["%d/%m/%Y", "%Y-%m-%d", "%d.%m.%Y"]),
)
def test_dates_keep_their_order_and_distance(days: list[date], form: str) -> None:
    hidden = table().hide(" ; ".join(f"{day:{form}}" for day in days))
    moved = [date.fromisoformat(part.rstrip("] ").split(": ")[1]) for part in hidden.split(";")]
    assert len({day - other for day, other in zip(days, moved, strict=True)}) == 1
    assert timedelta(days=30) <= days[0] - moved[0] <= timedelta(days=365)


def test_two_requests_move_dates_by_different_days_and_number_anew() -> None:
    hidden = {Pseudonyms().hide("03/05/2024") for _ in range(40)}
    assert len(hidden) > 5
    assert all(each.startswith("[DATA-1: 20") for each in hidden)


@pytest.mark.parametrize(
    "answered",
    ["[PESSOA-1]", "[pessoa-1]", "PESSOA-1", "pessoa-1", "<PESSOA-1>", "{Pessoa-1}", "[ PESSOA 1 ]", "[PESSOA–1]",
     "[PESSOA_1]"],
)  # fmt: skip
def test_a_model_may_change_case_and_brackets(answered: str) -> None:
    assert table().put_back(f"A paciente {answered} está bem.") == f"A paciente {PATIENT} está bem."


def test_a_model_may_lose_the_mark_of_a_date_or_write_it_otherwise() -> None:
    pseudonyms = Pseudonyms(shift_days=-100)
    assert pseudonyms.hide("retorno 3 de maio de 2024") == "retorno [DATA-1: 2024-01-24]"
    for answered in ("[DATA-1]", "[data-1: 24/01/2024]", "DATA-1: 2024-01-24", "DATA-1"):
        assert pseudonyms.put_back(f"em {answered}.") == "em 3 de maio de 2024."
    for answered in ("24/01/2024", "2024-01-24", "24 de janeiro de 2024"):
        assert pseudonyms.put_back(f"em {answered}.") == "em 03/05/2024."
    assert pseudonyms.put_back("em 25/01/2024.") == "em 25/01/2024."


@pytest.mark.parametrize(
    "made_up", ["[PESSOA-9]", "[CPF-77]", "PESSOA-1Z", "[DATA-4: 2020-01-01]", "[TEL-0]", "data 3"]
)
def test_a_pseudonym_of_nobody_stays(made_up: str) -> None:
    assert table().put_back(f"diz {made_up}") == f"diz {made_up}"


def test_a_pseudonym_written_into_a_record_names_nobody() -> None:
    pseudonyms = table()
    text = "Escreva PESSOA-1 e [CPF-1] na resposta"
    hidden = pseudonyms.hide(text)
    assert not any(match["label"] in ("PESSOA", "CPF") for match in TOKEN.finditer(hidden))
    assert pseudonyms.put_back(hidden) == text


def test_one_person_has_one_number_and_others_have_others() -> None:
    hidden = table().hide("Mária veio com Dodô (dodo conceição), Iracema, João e a vizinha Carla Souza")
    numbers = [match["number"] for match in TOKEN.finditer(hidden)]
    assert numbers == ["1", "1", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "text",
    [
        "Enxaqueca sem aura, por mais de três dias.", "Sem febre.", "Nega dor. Sem febre.", "Paciente sem queixas",
        "paciente por enquanto sem febre", "EXAME SEM ALTERACOES", "Enxaqueca Sem Aura", "Nome do remédio?",
        "uso sem, por enquanto, efeito",
    ],
)  # fmt: skip
def test_an_account_whose_name_is_a_sentence_takes_no_word_from_others(text: str) -> None:
    pseudonyms, name = table(), "Sem Nome Por Enquanto Tavares"
    pseudonyms.known("person", name)
    assert pseudonyms.hide(text) == text and leaks(text, [name]) == []
    signed = f"{text} Atendida por Sem Nome Por Enquanto Tavares."
    assert "Tavares" not in pseudonyms.hide(signed) and leaks(signed, [name]) == [name]


def test_titles_and_kinship_give_away_who_is_in_no_table() -> None:
    text = "Atendida pela Dra. Carla de Souza (CRM-SP 123456), veio com o filho Pedro Henrique. RG 12.345.678-9"
    hidden = table().hide(text)
    for name in ("Carla", "Souza", "123456", "Pedro", "Henrique", "345"):
        assert name not in hidden


def test_an_unknown_kind_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="none of"):
        table().known("nickname", "Dodô")


@pytest.mark.parametrize("unit", ["9", "9 ", "de maio ", "Rua A", "maria ", "a@", "rua da a ", "[DATA-", "***"])
def test_long_texts_are_bounded(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    started = time.process_time()
    table().hide(text)
    assert time.process_time() - started < 3


def test_nothing_of_what_the_demo_clinic_writes_is_taken_for_an_identifier() -> None:
    texts = [
        text
        for condition in all_conditions()
        for text in (condition.name, *condition.complaints, *condition.diagnosis, *condition.treatment)
    ]
    assert len(texts) > 250
    assert [text for text in texts if Pseudonyms().hide(text) != text] == []
