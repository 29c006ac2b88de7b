"""Hiding in texts that this project did not write: notes, patients of other systems, strings that break things."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path

import orjson

from services.pseudonym_leaks import leaks
from services.pseudonyms import Pseudonyms

NAMED = re.compile(r"# History of Present Illness\n(?P<name>[^\n]+)\n")


def test_clinical_notes_lose_their_patient_and_their_dates(shared_data: Path) -> None:
    with gzip.open(shared_data / "synthea-bulk" / "notes-en.jsonl.gz") as lines:
        notes = [orjson.loads(line) for line in lines]
    named = 0
    for note in notes:
        pseudonyms = Pseudonyms()
        found = NAMED.search(note["text"])
        identifiers = [note["date"][:10]]
        if found:
            named += 1
            identifiers.append(found["name"])
            pseudonyms.known("person", found["name"])
        hidden = pseudonyms.hide(note["text"])
        assert leaks(note["text"], identifiers) == identifiers
        assert leaks(hidden, identifiers) == []
        assert pseudonyms.put_back(hidden) == note["text"]
    assert named > len(notes) / 2


def test_doses_and_findings_of_clinical_notes_stay(shared_data: Path) -> None:
    with gzip.open(shared_data / "synthea-bulk" / "notes-en.jsonl.gz") as lines:
        for line in lines:
            text = orjson.loads(line)["text"]
            section = text.partition("# Medications")[2].partition("#")[0]
            doses = re.findall(r"\d+(?:\.\d+)? (?:mg|ml|mcg|actuat)\b", section)
            hidden = Pseudonyms().hide(section)
            assert re.findall(r"\d+(?:\.\d+)? (?:mg|ml|mcg|actuat)\b", hidden) == doses


def test_patients_of_another_system(shared_data: Path) -> None:
    with (shared_data / "mapped" / "patients.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 100
    for row in rows:
        pseudonyms = Pseudonyms()
        pseudonyms.known("person", row["full_name"])
        pseudonyms.known("address", row["address"])
        pseudonyms.known("phone", row["phone"])
        text = "\n".join(
            (
                f"{row['full_name'].upper()}, born {row['birth_date']}, {row['address']}; phone {row['phone']}.",
                f"Called {row['full_name'].split()[0].lower()} on {row['phone'].replace('-', ' ')}.",
            )
        )
        hidden = pseudonyms.hide(text)
        identifiers = [row["full_name"], row["birth_date"], row["address"], row["phone"]]
        assert leaks(hidden, [each for each in identifiers if each]) == []
        assert pseudonyms.put_back(hidden) == text


def test_strings_that_break_things_come_back(shared_data: Path) -> None:
    pseudonyms = Pseudonyms()
    pseudonyms.known("person", "Maria Test")
    for text in orjson.loads((shared_data / "hostile" / "naughty-strings.json").read_bytes()):
        assert pseudonyms.put_back(pseudonyms.hide(text)) == text
