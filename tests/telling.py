"""What a log tells that it must not: who is in the tests' cast, how to reach them, and what opens doors."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator

import pytest

from services.identifier_check import normalize
from tests.factories.cast import PATIENTS, USERS

NAMES = (*PATIENTS.values(), *(name for _, name in USERS.values()))
# Tokens, and the addresses that everybody in the tests has.
FOUND = re.compile(rf"sgl_[\w-]{{20,}}|[\w.+-]+@example\.org|{'|'.join(map(re.escape, NAMES))}", re.IGNORECASE)
# Of what tests do in their own process: the server that they send mail to (aiosmtpd), and their own requests.
OF_TESTS = {"mail.log", "httpx"}
CPF = re.compile(r"(?<![\w.-])\d{3}(?:\.\d{3}){2}-\d{2}(?![\w-])|(?<![\w.-])\d{11}(?![\w.-])")


def telling(log: str) -> Iterator[str]:
    """The lines of ``log`` that tell something, with what it is."""
    for line in log.splitlines():
        said = FOUND.search(line) or next((each for each in CPF.finditer(line) if normalize("cpf", each[0])), None)
        if said is not None:
            yield f"{said[0]}: {line}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Whatever a test is about, it fails where this process logs what nobody may read in a log."""
    report = yield
    told = next(telling(own_lines(report.capstdout)), None) if report.passed else None
    if told is not None:
        report.outcome, report.longrepr = "failed", f"the log tells {told}"
    return report


def own_lines(output: str) -> str:
    """Of what a process wrote, the lines of its log: what commands print for whoever asked is theirs to read."""
    return "\n".join(line for line in output.splitlines() if _is_of_the_log(line))


def _is_of_the_log(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        said = json.loads(line)
    except ValueError:
        return False
    return {"event", "level"} <= set(said) and said.get("logger") not in OF_TESTS
