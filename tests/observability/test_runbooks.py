"""Each alert says how bad it is, what is wrong, and where what to do is written; and what is written there exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from tests.documents import wrong_command
from tests.observability.alert_rules import RUNBOOKS, all_alerts
from tests.servers import DatabaseServer

ALERTS = {alert["alert"]: alert for _, alert in all_alerts()}
PAGES = [file for file in sorted(RUNBOOKS.glob("*.md")) if file.name != "README.md"]
PARTS = ("**Means.** ", "**Look.** ", "**Do.** ", "**Over.** ")
URL = re.compile(r"\{\{ \$externalLabels\.runbooks \}\}/(\w+\.md)#(\w+)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]*)#?([^)]*)\)")


def headings(page: Path) -> list[str]:
    return re.findall(r"^## (\w+)$", page.read_text(), re.MULTILINE)


def sections(page: Path) -> dict[str, str]:
    """Heading → what stands below it."""
    parts = re.split(r"^## (\w+)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of every block of this language."""
    found = [(page.name, *block) for page in PAGES for block in BLOCK.findall(page.read_text())]
    return [(page, text) for page, kind, text in found if kind == language]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_must(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning", "info", "none")
    assert alert["labels"]["family"]
    said = alert["annotations"]
    assert set(said) == {"summary", "description", "summary_pt", "runbook_url"}
    assert said["summary"] != said["summary_pt"]
    assert len(said["summary"]) < 120, "a subject of a mail"
    found = URL.fullmatch(said["runbook_url"])
    assert found is not None
    page, anchor = found.groups()
    assert anchor == name.lower()
    assert name in headings(RUNBOOKS / page)


def test_names_are_of_one_alert_each() -> None:
    assert len(list(all_alerts())) == len(ALERTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_says_all_of_it_and_of_alerts_alone(page: Path) -> None:
    for name, text in sections(page).items():
        assert name in ALERTS, f"{name} is no alert any more"
        at = [text.find(f"\n{part.rstrip()}") for part in PARTS]
        assert -1 not in at, f"{name} leaves something out"
        assert at == sorted(at)


def test_links_lead_somewhere() -> None:
    for page in (*PAGES, RUNBOOKS / "README.md"):
        for place, anchor in LINK.findall(page.read_text()):
            target = (page.parent / place).resolve() if place else page
            assert target.is_file(), f"{page.name}: {place}"
            if anchor:
                assert anchor in [heading.lower() for heading in headings(target)], f"{page.name}: {place}#{anchor}"


@pytest.mark.database
def test_statements_can_be_asked(server: DatabaseServer, database: str) -> None:
    with psycopg.connect(server.superuser_url(database), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = on")
        for page, statement in blocks("sql"):
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                pytest.fail(f"{page}: {statement}: {error}")


def test_commands_are_the_programs_own() -> None:
    texts = [text for _, text in blocks("sh")] + [page.read_text() for page in PAGES]
    asked = {line for text in texts for line in re.findall(r"(?:^|`)(sigilo [^`\n]+)", text, re.MULTILINE)}
    assert len(asked) > 10
    assert [wrong for line in asked if (wrong := wrong_command(line))] == []


def test_pages_are_the_applications_own(app: Flask) -> None:
    adapter = app.url_map.bind("localhost")
    operations = RUNBOOKS.parents[1] / "docs" / "operations.md"
    texts = [page.read_text() for page in (*PAGES, RUNBOOKS / "README.md", operations)]
    asked = {path for text in texts for path in re.findall(r"`(/[a-z-]+(?:/[a-z-]+)*)`", text)}
    asked |= {path for text in texts for path in re.findall(r"http://127\.0\.0\.1:8000(/[a-z/]+)", text)}
    assert {"/system", "/backups", "/audit/alarm", "/api/health"} <= asked
    for path in asked - {"/run/secrets/smtp_password"}:
        assert matches(adapter, path), path


def matches(adapter: Any, path: str) -> bool:
    try:
        adapter.match(path)
    except RequestRedirect:
        return True
    except HTTPException:
        return False
    return True
