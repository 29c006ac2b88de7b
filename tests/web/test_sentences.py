"""What services say is wrong reaches a page in its reader's language; what can't be is named here, with why."""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Iterator

import pytest
from flask import Flask
from flask_babel import force_locale, gettext

from backups.programs import KNOWN, UNSHOWN
from integrations.storage import KINDS
from services.backup_request import INTERRUPTED
from web.forms.sentence_extraction import ROOT, sentences
from web.forms.sentences import TEMPLATES, said

# Sentences with values in them that no page shows.
LEFT_ENGLISH = {
    # the command line's own
    "The newest backup has %(rows)s rows, and %(before)s of %(value5)s UTC has %(value7)s: name the one you want by its"
    " id (`sigilo backup list`).",
    "The archive can't be read, so nothing leaves the database: %(error)s.",
    "This receipt proves nothing: %(error)s.",
    "%(path)s is encrypted: name the file with its age identity, --identity.",
    "%(report)s Nothing was archived: run `sigilo audit verify`.",
    "%(wrong)s Nothing was archived: run `sigilo audit verify`.",
    "Event %(event)s lies in an archive: `sigilo audit archives` lists them.",
    "Events around %(level)s lie in an archive, which no proof reaches.",
    "The archive can't be written: %(error)s.",
    "The archive up to event %(written)s is not what was signed: run `sigilo audit verify`.",
    "The checkpoint of event %(sequence)s is none of ours with a tree: run `sigilo audit verify`.",
    "What is signed of the archive can't be written: %(error)s.",
    "Event %(newest)s was signed before with another hash: run `sigilo audit verify`.",
    "Event %(gone)s was signed and is gone: run `sigilo audit verify`.",
    "Event %(tree)s does not match its hash, so nothing was signed: run `sigilo audit verify`.",
    "Event %(tree)s is missing, so nothing was signed: run `sigilo audit verify`.",
    "Event %(sequence)s is not what was signed, or another is not: run `sigilo audit verify`.",
    "Event %(sequence)s holds what no event can: run `sigilo audit verify`.",
    "Events around %(count)s are missing: run `sigilo audit verify`.",
    "No checkpoint covers event %(sequence)s yet: wait a minute, or run `sigilo audit checkpoint`.",
    "This proves nothing: %(error)s.",
    "%(path)s exists. Name a file that doesn't.",
    "%(folder)s is no folder: name one that is new or empty.",
    "%(folder)s is not empty: name a new folder, so that nothing old mixes with the export.",
    "%(path)s cannot be read: %(error)s. Check the path.",
    "The format is one of %(targets)s.",
    "The format is one of %(formats)s.",
    "%(path)s can't be written: %(error)s.",
    "Files can't be laid into %(restored)s: %(error)s",
    "Backups that are kept for long can't be locked for as long: %(error)s.",
    "%(bad)s newer than %(found)s of %(value4)s UTC can't be trusted: manifests that are damaged, changed or can't be"
    " read (%(named)s). Look at the store, or name the one you want by its id.",
    "%(name)s.manifest does not lie in %(path)s: it says what the backup is, and whose.",
    "%(path)s is no part of a backup: name its manifest, which ends in .manifest.",
    "The download needs %(needed)s MiB, and the disk of %(folder)s has %(there)s MiB free: free some, or set"
    " SIGILO_HOME to a larger disk. Nothing was changed.",
    "Somebody keeps connecting to the database %(name)s: stop what uses it. Nothing was changed.",
    "The backup has the schema %(manifest)s of a newer Sigilo (%(value3)s), and this one knows %(head)s: install that"
    " version.",
    "The backup is of PostgreSQL %(manifest)s and the server is %(major)s: restore into one that is at least as new.",
    "The database %(name)s is not empty: name another, or say --replace, which keeps it under another name.",
    "The download of %(name)s was cut at %(done)s of %(size)s bytes (%(error)s): run the same command again, it goes on"
    " from there.",
    "The store can't be listed: %(error)s.",
    "There is %(how_many)s of this name at %(url)s: `sigilo backup list` shows what there is.",
    "There is no backup at %(url)s that a key trusted here has signed%(also)s.",
    # what a form offers as a choice; the API's values say more to who writes requests
    "one of %(severities)s",
    "one of %(sexes)s",
    "one of %(closed)s",
    "one of %(priorities)s",
    "one of %(visit_statuses)s",
    "one or more of %(known)s",
    "scopes are %(scope)s",
    "the id of an active %(role)s",
}


@pytest.fixture
def portuguese(app: Flask):  # type: ignore[no-untyped-def]
    with app.test_request_context(), force_locale("pt_BR"):
        yield


def test_every_sentence_with_a_value_is_a_template_or_said_to_be_left() -> None:
    found = {sentence.text for sentence in sentences() if sentence.is_template}
    assert found == set(TEMPLATES) | LEFT_ENGLISH
    assert set(TEMPLATES) & LEFT_ENGLISH == set()


# What is raised with the words of another error: they stand where that one is raised.
PASSED_ON = {"str(error)", "type(error).__name__", "failure or ''", "pruned.failure"}
STORED = {"BackupFailed", "NotRestorable", "Busy", "StorageUnavailable", "StoreError"}


def raised() -> Iterator[tuple[str, int, str]]:
    """Module, line and words of whatever may end in the row of a backup or a drill."""
    for path in sorted([*(ROOT / "backups").glob("*.py"), *(ROOT / "integrations").glob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[words, *_]) if name in STORED:
                    yield f"{path.parent.name}.{path.stem}", node.lineno, ast.unparse(words)


def test_the_extraction_finds_every_reason_why_a_backup_fails() -> None:
    found = {(sentence.module, sentence.line) for sentence in sentences()}
    missed = [each for each in raised() if each[:2] not in found and each[2] not in PASSED_ON]
    assert missed == []
    texts = {sentence.text for sentence in sentences()}
    assert {INTERRUPTED, UNSHOWN, *KNOWN.values(), *KINDS.values()} <= texts


def test_only_the_command_line_says_what_is_left_of_backups() -> None:
    left = {sentence.module for sentence in sentences() if sentence.text in LEFT_ENGLISH}
    assert {module for module in left if module.startswith("backups.")} == {
        "backups.restore", "backups.fetch", "backups.run", "backups.find",
        "backups.database",  # take_place, of a restore
        "backups.store",  # stored_names, of a restore
    }  # fmt: skip
    assert not [module for module in left if module.startswith("integrations.")]


def test_the_kinds_of_a_disks_failures_are_what_the_system_says() -> None:
    assert {number: f"{errno.errorcode[number]}, {os.strerror(number)}" for number in KINDS} == KINDS


def test_a_sentence_is_said_by_its_own_template_and_by_no_other(portuguese: None) -> None:
    for template in TEMPLATES:
        values = {name: f"x{number}" for number, name in enumerate(re.findall(r"%\((\w+)\)s", template))}
        assert said(template % values) == gettext(template, **values)


def test_the_extraction_follows_names_imports_dictionaries_and_conditions() -> None:
    found = {(sentence.module, sentence.text) for sentence in sentences()}
    for place in (
        ("services.access", "This patient was inactivated."),  # where it is raised
        ("services.care_team_list", "There is no such patient."),  # an imported constant
        ("services.password", "at least 12 characters: a few words are easy to remember"),  # a number by name
        ("services.patient_write", "a CPF with valid check digits, such as 529.982.247-25"),  # a dictionary's values
        ("services.import_fhir_check", "must be an array"),  # by way of a variable
        ("services.import_csv_rows", "has %(cells)s cells where the header names %(header)s columns"),  # a function's
        ("services.import_verdict", "it was written here and differs: an import changes nothing that it did not bring"),
        ("backups.create", INTERRUPTED),  # a function's, which gives a constant
        ("backups.programs", "the backup breaks off"),  # looked up in a table
        ("integrations.storage", "EIO, Input/output error"),
        ("services.errors", "The request has a field that can't be accepted."),
        ("web.api.schemas", "text that is not only spaces"),
    ):
        assert place in found, place


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("There is no such import.", "Esta importação não existe."),
        ("full_name is missing", "falta full_name"),
        ("diagnosis is longer than 20000 characters", "diagnosis tem mais de 20000 caracteres"),
        ("has 3 cells where the header names 11 columns", "tem 3 células, e o cabeçalho tem 11 colunas"),
        ("the quoting is not that of CSV; lines 2 to 3 were not taken",
         "as aspas não são as de um CSV; as linhas 2 a 3 não foram lidas"),
        ("is no date; /gender: is none of male, female, other, unknown",
         "não é uma data; /gender: não é male, female, other nem unknown"),
        ("The store failed: ENOSPC, No space left on device.",
         "O armazenamento falhou: não há mais espaço (ENOSPC)."),
        ("The store failed: EXDEV.", "O armazenamento falhou: EXDEV."),
        ("The part 7.database.zst.age can't be read: answered 404 NoSuchKey.",
         "Não foi possível ler a parte 7.database.zst.age: respondeu 404 NoSuchKey."),
        ("pg_restore ended with 1: the backup breaks off.", "pg_restore terminou com 1: o backup está incompleto."),
        ("BACKUP_AGE_RECIPIENT: An age recipient is written age1…, as age-keygen prints it.",
         "BACKUP_AGE_RECIPIENT: Um destinatário age se escreve age1…, como o age-keygen mostra."),
        ("100 % of what nobody ever said", "100 % of what nobody ever said"),
        ("%s %(name)s %%", "%s %(name)s %%"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_sentence_is_said_in_portuguese(portuguese: None, sentence: str, shown: str) -> None:
    assert said(sentence) == shown


def test_in_english_it_stays_as_it_is(app: Flask) -> None:
    with app.test_request_context(), force_locale("en"):
        for sentence in ("There is no such import.", "full_name is missing", "100 % sure"):
            assert said(sentence) == sentence
