"""``/backups``: asked for once, followed to its end, and what stands there of drills, keys and what would be lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from flask import Flask
from sqlalchemy import select, text, update

from config import Principal
from models import AuditOutbox, Backup, BackupDrill
from models.engine import Databases
from services.backup_request import WAITS
from services.base_backups import ROW
from tests.factories.backup import forget_backups, make_backup, make_drill_key
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast
from tests.services.test_query_counts import counted
from tests.web.conftest import Browser, MakeApp


def signed_in(app: Flask, databases: Databases, cast: Cast) -> Browser:
    browser = Browser(app)
    browser.client.set_cookie("sigilo", open_session(databases, cast.admin), domain="localhost")
    return browser


@pytest.fixture
def admin(app: Flask, databases: Databases, cast: Cast) -> Browser:
    return signed_in(app, databases, cast)


@pytest.fixture(autouse=True)
def none_else(databases: Databases) -> Iterator[None]:
    forget_backups(databases)
    yield
    forget_backups(databases)


@pytest.fixture
def queue(redis_url: str) -> Iterator[redis.Redis]:
    """The broker, whose queue of backups nobody empties."""
    with redis.Redis.from_url(redis_url) as client:
        client.delete("backups")
        yield client
        client.delete("backups")


def test_without_any_it_says_what_to_do_and_what_is_missing(admin: Browser) -> None:
    shown = admin.get("/backups").get_data(as_text=True)
    assert "Nenhum backup ainda" in shown
    assert "mais de 26 horas, ou não existe" in shown
    assert "Não há chave de recuperação" in shown
    assert "BACKUP_URL indica um bucket" in shown


def test_one_is_asked_for_once_and_the_worker_is_woken(
    admin: Browser, databases: Databases, cast: Cast, queue: redis.Redis
) -> None:
    answer = admin.post("/backups", {})
    assert answer.status_code == 303
    place = answer.headers["Location"].partition("?")[0]
    with databases.session(Principal.WORKER) as session:
        made = session.scalars(select(Backup)).one()
        event = session.scalars(select(AuditOutbox).where(AuditOutbox.entity_id == made.id)).one()
    assert (made.state, made.requested_by, event.action) == ("PENDING", cast.admin.id, "backup.request")
    assert place.endswith(f"/backups/{made.id}")
    sent: Any = queue.blpop(["backups"], timeout=10)
    assert sent is not None
    assert json.loads(sent[1])["headers"]["task"] == "backups.run"
    assert "Aguarda para começar" in admin.get(place).get_data(as_text=True)
    assert "disabled" in admin.get("/backups").get_data(as_text=True)
    again = admin.post("/backups", {}, headers={"Accept-Language": "en"})
    assert again.status_code == 409
    assert WAITS in again.get_data(as_text=True) or "Um backup já aguarda" in again.get_data(as_text=True)


def test_a_good_one_says_what_was_checked_and_how_long_restoring_took(admin: Browser, databases: Databases) -> None:
    made = make_backup(databases)
    listed = admin.get("/backups").get_data(as_text=True)
    assert "Restaurado e conferido" in listed
    assert "123,5 MB" in listed
    assert "1 min 33 s" in listed
    assert "mais de 26 horas" not in listed
    shown = admin.get(f"/backups/{made}").get_data(as_text=True)
    assert "1.234.567" in shown
    assert "Sim: foi restaurado e conferido" in shown
    assert 'hx-trigger="every' not in shown, "nothing moves any more"


def test_what_failed_is_said_where_it_is_looked_for(admin: Browser, databases: Databases) -> None:
    nothing = {"manifest": None, "name": None, "size": None, "verified_at": None}
    failed = make_backup(databases, state="FAILED", failure="The store failed: EIO, Input/output error.", **nothing)
    listed = admin.get("/backups").get_data(as_text=True)
    assert "O backup mais novo falhou" in listed
    reason = "O armazenamento falhou: erro de leitura ou gravação no disco (EIO)."
    assert reason in listed
    shown = admin.get(f"/backups/{failed}").get_data(as_text=True)
    assert reason in shown
    assert "Nova tentativa em " in listed and "Nova tentativa em " in shown


def test_an_administrators_day_begins_with_what_failed(admin: Browser, databases: Databases) -> None:
    made = make_backup(databases)
    assert "O backup mais novo falhou" not in admin.get("/").get_data(as_text=True)
    nothing = {"manifest": None, "name": None, "size": None, "verified_at": None}
    make_backup(databases, state="FAILED", failure="The store failed: EIO, Input/output error.", **nothing)
    start = admin.get("/").get_data(as_text=True)
    assert made and "O backup mais novo falhou" in start and 'href="/backups"' in start
    assert "Tudo funciona" not in start


def test_a_failed_drill_is_no_good_backup(admin: Browser, databases: Databases) -> None:
    made = make_backup(databases, state="DONE", verified_at=None, failed_drill="The dump is damaged.")
    listed = admin.get("/backups").get_data(as_text=True)
    assert "O teste mais novo não pôde ser feito: daquele backup nada se sabe" in listed
    assert "não é confiável" not in listed and "O teste mais novo falhou" not in listed
    assert "mais de 26 horas, ou não existe" in listed
    shown = admin.get(f"/backups/{made}").get_data(as_text=True)
    assert "Só depois que um teste o restaurar" in shown
    assert "Nova tentativa em " in listed and "Nova tentativa em " in shown
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(update(BackupDrill).values(is_damaged=True))
    for path in ("/backups", f"/backups/{made}"):
        assert "Nova tentativa em " not in admin.get(path).get_data(as_text=True), "it would end as it did"
    assert "O teste mais novo falhou" in admin.get("/backups").get_data(as_text=True)


def test_a_trail_that_is_not_intact_is_said_of_a_backup_that_counts(admin: Browser, databases: Databases) -> None:
    made = make_backup(databases)
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(update(BackupDrill).values(trail_problems=2))
    listed = admin.get("/backups").get_data(as_text=True)
    assert "Restaurado e conferido" in listed and "trilha não íntegra" in listed
    assert "A trilha de auditoria não está íntegra: foi o que o último teste encontrou" in listed
    shown = admin.get(f"/backups/{made}").get_data(as_text=True)
    assert "não está íntegra em 2 pontos" in shown and "Sim: foi restaurado e conferido" in shown


def test_what_the_archive_of_changes_lacks_is_said_wherever_an_administrator_looks(
    admin: Browser, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_backup(databases)
    assert "backup de base" not in admin.get("/backups").get_data(as_text=True), "there is no such archive"
    # As a server that archives; the tests' own does not.
    columns = "noted_at, full_at, differential_at, missing"
    monkeypatch.setattr("services.base_backups.BASES", ROW)
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(
            text(
                f"INSERT INTO archive_standing (id, {columns})"
                " VALUES (1, now(), now() - interval '9 days', now() - interval '3 hours', 3)"
            )
        )
    try:
        for path in ("/backups", "/"):
            shown = admin.get(path).get_data(as_text=True)
            assert "Faltam no arquivamento 3 arquivos" in shown and "tem mais de oito dias" in shown
            assert "O backup de base mais novo tem" not in shown
        assert "Tudo funciona" not in shown
        system = admin.get("/system").get_data(as_text=True)
        assert "Backups de base" in system and "completo: há 9 d" in system
    finally:
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(text("DELETE FROM archive_standing"))


def test_how_far_it_is_gets_shown_and_asked_again(admin: Browser, databases: Databases) -> None:
    nothing = {"manifest": None, "name": None, "size": None, "verified_at": None, "finished_at": None}
    made = make_backup(
        databases, state="RUNNING", stage="database", done=40_000_000, total=100_000_000, **nothing
    )  # fmt: skip
    for path, every in (("/backups", "every 2s"), (f"/backups/{made}", "every 1s")):
        shown = admin.get(path).get_data(as_text=True)
        assert 'value="40000000" max="100000000"' in shown
        assert "40,0 MB / 100,0 MB" in shown
        assert every in shown


def test_who_holds_what_is_said(make_own_app: MakeApp, databases: Databases, cast: Cast) -> None:
    recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
    make_drill_key(databases, machine="sala-do-servidor")
    app = make_own_app(backup_age_recipient=recipient)
    shown = signed_in(app, databases, cast).get("/backups").get_data(as_text=True)
    assert recipient[:12] in shown
    assert "em nenhum servidor" in shown
    assert "sala-do-servidor" in shown
    assert "Não há chave de recuperação" not in shown


def test_queries_do_not_grow_with_backups(admin: Browser, databases: Databases) -> None:
    make_backup(databases)
    with counted(databases) as few:
        admin.get("/backups")
    for _ in range(5):
        make_backup(databases)
    with counted(databases) as many:
        admin.get("/backups")
    assert len(many) == len(few)
