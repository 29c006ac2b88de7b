"""A CID-10 of our own making: files of DATASUS's format and size, whose titles are made-up words and the demo's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase

from services.cid10_file import CATEGORIES, COLUMNS, SUBCATEGORIES
from services.demo_cid10 import demo_table

CATEGORY_COUNT, SUBCATEGORY_COUNT = 2045, 12451  # of the release of 2008
WHOLE, THREE = 1156, 1  # categories with ten subcategories and with three; each other one stands in both files
KINDS = ("Doença", "Síndrome", "Lesão", "Infecção", "Neoplasia", "Fratura", "Outras afecções")
WHERE = ("do braço", "da laringe", "do cólon", "dos olhos", "da coxa", "do pâncreas", "dos rins", "não especificada")
LETTERS = {"F": "FEMALE", "M": "MALE"}


def write_files(folder: Path, *, seed: int = 1) -> None:
    """The two files in ``folder``, all rows. N40 is for men, N94.6 for women, J30.4 an unlikely cause of death; A17.0
    is half a pair. The demo's codes have their titles."""
    rng = random.Random(seed)
    known = {row["code"].replace(".", ""): row for row in demo_table().rows}
    undivided = sorted(code for code in known if len(code) == 3)
    divided = sorted({code[:3] for code in known if len(code) > 3})
    names = [f"{letter}{number:02}" for letter in ascii_uppercase for number in range(100)]
    rest = [name for name in names if name not in (*undivided, *divided)]
    chosen = sorted([*undivided, *divided, *rest[: CATEGORY_COUNT - len(undivided) - len(divided)]])
    whole = set([*divided, *(name for name in chosen if name not in (*undivided, *divided))][:WHOLE])
    three = next(name for name in reversed(chosen) if name not in whole and name not in undivided)

    def title() -> str:
        made = "".join(rng.choice(["ba", "çu", "dé", "lo", "mi", "nã", "re", "tó"]) for _ in range(4))
        return f"{rng.choice(KINDS)} {made} {rng.choice(WHERE)}"

    categories, subcategories = [], []
    for name in chosen:
        titled = known[name]["description"] if name in known else title()
        categories.append([name, "", titled, f"{name}   {titled}"[:50], "", ""])
        ends = "0123456789" if name in whole else "012" if name == three else [""]
        for end in ends:
            code, row = name + end, known.get(name + end)
            subcategories.append([
                code,
                "+" if code == "A170" else "",
                next((letter for letter, sex in LETTERS.items() if row and row["sex"] == sex), ""),
                "N" if row and not row["causes_death"] else "",
                row["description"] if row else titled if not end else title(),
                f"{name}.{end} abreviado", "G01*" if code == "A170" else "", "",
            ])  # fmt: skip
    assert (len(categories), len(subcategories)) == (CATEGORY_COUNT, SUBCATEGORY_COUNT)
    write(folder, CATEGORIES, categories)
    write(folder, SUBCATEGORIES, subcategories)


def write_small(folder: Path) -> None:
    """A table of three categories, in which a test may find its place."""
    write(folder, CATEGORIES, [
        ["A17", "+", "Tuberculose do sistema nervoso", "A17   Tuberc do sist nervoso", "", ""],
        ["I10", "", "Hipertensão essencial", "I10   Hipertensao essencial", "", ""],
        ["N40", "", "Hiperplasia da próstata", "N40   Hiperplasia da prostata", "", ""],
    ])  # fmt: skip
    write(folder, SUBCATEGORIES, [
        ["A170", "+", "", "", "Meningite tuberculosa", "A17.0 Meningite tuberc", "G01*", ""],
        ["A179", "+", "", "", "Tuberculose não especificada do sistema nervoso", "A17.9 Tuberc NE", "G99.8*", ""],
        ["I10", "", "", "", "Hipertensão essencial", "I10   Hipertensao essencial", "", ""],
        ["N40", "", "M", "N", "Hiperplasia da próstata", "N40   Hiperplasia da prostata", "", ""],
    ])  # fmt: skip


def write(folder: Path, name: str, rows: list[list[str]]) -> None:
    (folder / name).write_bytes("".join(_lines(name, rows)).encode("iso-8859-1"))


def _lines(name: str, rows: list[list[str]]) -> Iterator[str]:
    for cells in (COLUMNS[name], *rows):
        yield ";".join(cells) + ";\r\n"
