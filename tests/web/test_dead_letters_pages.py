"""Failed work on ``/system``: seen, tried again, dismissed; and the pages of the timed jobs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import delete, select, text, update

from config import Principal
from integrations.broker import Publisher
from models import AuditOutbox, DeadLetter, JobRun
from models.engine import Databases
from services.dead_letter_dismiss import dismiss_dead_letter
from services.dead_letter_list import get_dead_letter, list_dead_letters
from services.dead_letter_retry import retry_dead_letter
from services.errors import Conflict, Forbidden, Invalid, NotFound
from services.job_run import begin_again, claim_slot, finish_run
from services.job_run_list import MOST_SHOWN, list_runs
from services.job_schedule import CLEANUP, VERIFY
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast
from tests.factories.dead_letter import make_dead_letter
from tests.services.test_query_counts import counted
from tests.web.conftest import Browser, MakeApp

SLOT = datetime(2026, 11, 24, 12, 17, tzinfo=UTC)
NOWHERE = SecretStr("redis://127.0.0.1:1/0")


@pytest.fixture
def admin(app: Flask, databases: Databases, cast: Cast) -> Browser:
    return signed_in(app, databases, cast)


def signed_in(app: Flask, databases: Databases, cast: Cast) -> Browser:
    browser = Browser(app)
    browser.client.set_cookie("sigilo", open_session(databases, cast.admin), domain="localhost")
    return browser


@pytest.fixture(autouse=True)
def none_before(databases: Databases) -> Iterator[None]:
    with databases.session(Principal.WORKER) as session:
        session.execute(delete(DeadLetter))
    yield
    with databases.session(Principal.WORKER) as session:
        session.execute(delete(DeadLetter))
        session.execute(delete(JobRun).where(JobRun.job.in_([CLEANUP, VERIFY])))


@pytest.fixture
def sent(redis_url: str) -> Iterator[redis.Redis]:
    """The broker, whose queue of imports nobody empties."""
    with redis.Redis.from_url(redis_url) as client:
        client.delete("default")
        yield client
        client.delete("default")


def row(databases: Databases, letter_id: uuid.UUID) -> DeadLetter:
    with databases.session(Principal.WORKER) as session:
        return session.get_one(DeadLetter, letter_id)


def acts(databases: Databases, letter_id: uuid.UUID) -> list[tuple[str, Any]]:
    with databases.session(Principal.WORKER) as session:
        statement = select(AuditOutbox.action, AuditOutbox.actor_id).where(AuditOutbox.entity_id == letter_id)
        return [(action, actor) for action, actor in session.execute(statement)]


def test_nothing_failed_is_said_and_what_failed_is_shown(admin: Browser, databases: Databases) -> None:
    page = admin.get("/system").get_data(as_text=True)
    assert "Nenhuma: o que falhou foi feito depois ou dispensado." in page
    make_dead_letter(databases, "mail.send", error="WorkerLostError", attempts=1_234)
    make_dead_letter(databases, "mail.send", error="ProgrammingError", name="Conceição")
    page = admin.get("/system").get_data(as_text=True)
    for said in ("E-mails", "WorkerLostError", "O processo foi morto", "1.234", "Falha no programa ou nos dados"):
        assert said in page, said
    assert "Concei" not in page
    assert page.count("/retry") == 2, "what is not kept whole can't be sent again: one form, two addresses in it"


def test_trying_again_sends_the_work_as_it_was_and_success_takes_it_away(
    admin: Browser, databases: Databases, cast: Cast, sent: redis.Redis
) -> None:
    letter = make_dead_letter(databases, slot=SLOT)
    answer = admin.post(f"/system/dead-letters/{letter}/retry", form="/system")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/system?done=work-retried")
    [message] = [json.loads(each) for each in sent.lrange("default", 0, -1)]  # type: ignore[union-attr]
    kept = row(databases, letter)
    assert message["headers"]["task"] == "imports.run"
    assert json.loads(message["headers"]["kwargsrepr"].replace("'", '"')) == {
        **kept.arguments, "slot": SLOT.isoformat(),
    }  # fmt: skip
    assert (kept.retried_by, kept.resolved_at) == (cast.admin.id, None)
    assert acts(databases, letter) == [("dead_letter.retry", cast.admin.id)]
    page = admin.get("/system?done=work-retried").get_data(as_text=True)
    assert "Reenviada aos executores de tarefas." in page and "reenviada às" in page
    make_dead_letter(databases, slot=SLOT, **kept.arguments)
    assert "reenviada às" not in admin.get("/system").get_data(as_text=True), "it has failed again since"
    assert row(databases, letter).attempts == 2


def test_without_redis_the_work_stays_to_be_sent_once_more(
    make_own_app: MakeApp, databases: Databases, cast: Cast
) -> None:
    letter = make_dead_letter(databases)
    admin = signed_in(make_own_app(redis_url=NOWHERE), databases, cast)
    answer = admin.post(f"/system/dead-letters/{letter}/retry", form="/system")
    assert answer.status_code == 503
    assert "O Redis não responde" in answer.get_data(as_text=True)
    assert row(databases, letter).resolved_at is None
    assert acts(databases, letter) == [("dead_letter.retry", cast.admin.id)], "it was asked for"
    assert f"/system/dead-letters/{letter}/retry" in admin.get("/system").get_data(as_text=True)


def test_nothing_is_sent_before_its_event_is_committed(
    app: Flask, admin: Browser, databases: Databases, sent: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = make_dead_letter(databases)
    seen: list[list[tuple[str, Any]]] = []
    send = Publisher.send

    def look_first(self: Publisher, task: str, **arguments: Any) -> None:
        seen.append(acts(databases, letter))  # of another connection, so what is committed
        send(self, task, **arguments)

    monkeypatch.setattr(Publisher, "send", look_first)
    admin.post(f"/system/dead-letters/{letter}/retry", form="/system")
    assert [[action for action, _ in each] for each in seen] == [["dead_letter.retry"]]
    assert sent.llen("default") == 1


def test_what_can_not_be_written_down_is_not_sent(
    admin: Browser, databases: Databases, sent: redis.Redis
) -> None:
    letter = make_dead_letter(databases)
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(text("REVOKE INSERT ON audit_outbox FROM sigilo_staff"))
    try:
        assert admin.post(f"/system/dead-letters/{letter}/retry", form="/system").status_code == 503
    finally:
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(text("GRANT INSERT ON audit_outbox TO sigilo_staff"))
    assert sent.llen("default") == 0
    assert row(databases, letter).retried_at is None


def test_dismissing_wants_a_reason_which_stays_with_the_row(
    admin: Browser, databases: Databases, cast: Cast, sent: redis.Redis
) -> None:
    letter = make_dead_letter(databases)
    path = f"/system/dead-letters/{letter}"
    refused = admin.post(f"{path}/dismiss", {"reason": "  "}, form=path)
    assert refused.status_code == 422 and row(databases, letter).resolved_at is None
    done = admin.post(f"{path}/dismiss", {"reason": "o arquivo já não existe"}, form=path)
    assert (done.status_code, done.headers["Location"]) == (303, "/system?done=work-dismissed")
    kept = row(databases, letter)
    assert (kept.dismissed_by, kept.dismissal_reason) == (cast.admin.id, "o arquivo já não existe")
    assert acts(databases, letter) == [("dead_letter.dismiss", cast.admin.id)]
    page = admin.get(path).get_data(as_text=True)
    assert "o arquivo já não existe" in page and "/dismiss" not in page and "/retry" not in page
    assert str(letter) not in admin.get("/system").get_data(as_text=True)
    late = admin.post(f"{path}/retry", form="/system")
    assert late.status_code == 409 and sent.llen("default") == 0


def test_who_may_and_what_is_there(databases: Databases, cast: Cast) -> None:
    whole, partly = make_dead_letter(databases), make_dead_letter(databases, name="Conceição")
    admin = replace(cast.admin.actor, scopes=None)
    with databases.session(Principal.STAFF) as session:
        assert {each["id"] for each in list_dead_letters(session, admin)} == {str(whole), str(partly)}
        assert get_dead_letter(session, admin, partly)["arguments"] == {"name": None}
        with pytest.raises(Conflict):
            retry_dead_letter(session, admin, partly)
        with pytest.raises(Invalid):
            dismiss_dead_letter(session, admin, whole, reason=" ")
        for person in (cast.doctor, cast.auditor, cast.reception, cast.patient):
            actor = replace(person.actor, scopes=None)
            for refused in (
                lambda actor=actor: list_dead_letters(session, actor),
                lambda actor=actor: get_dead_letter(session, actor, whole),
                lambda actor=actor: retry_dead_letter(session, actor, whole),
                lambda actor=actor: dismiss_dead_letter(session, actor, whole, reason="porque sim"),
                lambda actor=actor: list_runs(session, actor, CLEANUP, SLOT),
            ):
                with pytest.raises(Forbidden):
                    refused()
        for nothing in (get_dead_letter, retry_dead_letter):
            with pytest.raises(NotFound):
                nothing(session, admin, uuid.uuid4())


def test_what_is_open_is_counted_for_prometheus(app: Flask, databases: Databases) -> None:
    for _ in range(3):
        make_dead_letter(databases)
    with databases.session(Principal.WORKER) as session:
        first = session.scalars(select(DeadLetter.id).limit(1)).one()
        session.execute(update(DeadLetter).where(DeadLetter.id == first).values(resolved_at=SLOT))
    body = Browser(app, "127.0.0.1").client.get("/metrics").get_data(as_text=True)
    gauges = {each.name: each.samples for each in text_string_to_metric_families(body)}
    assert [sample.value for sample in gauges["sigilo_dead_letters_open"]] == [2.0]


def test_a_jobs_page_shows_its_runs_and_what_the_clean_up_deleted(admin: Browser, databases: Databases) -> None:
    empty = admin.get(f"/system/jobs/{CLEANUP}").get_data(as_text=True)
    assert "Sessões encerradas" in empty and "7 dias" in empty
    with databases.session(Principal.WORKER) as session:
        session.execute(delete(JobRun).where(JobRun.job == CLEANUP))  # whatever modules before this one left
        for back in range(MOST_SHOWN + 5):
            session.add(JobRun(job=CLEANUP, slot=SLOT - timedelta(hours=back), started_at=SLOT, outcome="failure",
                               finished_at=SLOT + timedelta(seconds=95)))  # fmt: skip
        finish_run(session, CLEANUP, SLOT, "success", 4_711, {"sessions": 4_700, "drafts": 11})
        session.flush()
        session.execute(
            update(JobRun)
            .where(JobRun.slot == SLOT, JobRun.job == CLEANUP)
            .values(finished_at=SLOT + timedelta(milliseconds=400))
        )
    page = admin.get(f"/system/jobs/{CLEANUP}").get_data(as_text=True)
    assert page.count("1 min 35 s") == MOST_SHOWN - 1 and "0,4 s" in page
    for said in ("4.711", "4.700", "Falhou", "Sessões encerradas"):
        assert said in page, said
    other = admin.get(f"/system/jobs/{VERIFY}").get_data(as_text=True)
    assert "Sessões encerradas" not in other
    assert admin.get("/system/jobs/audit.drain").status_code == 404, "it is no timed job"
    assert f'href="/system/jobs/{CLEANUP}"' in admin.get("/system").get_data(as_text=True)


def test_a_run_that_is_tried_again_begins_anew(databases: Databases) -> None:
    with databases.session(Principal.WORKER) as session:
        claim_slot(session, VERIFY, SLOT)
        session.execute(update(JobRun).where(JobRun.job == VERIFY).values(started_at=SLOT))
        begin_again(session, VERIFY, SLOT)
        unended = session.scalars(select(JobRun.started_at).where(JobRun.job == VERIFY)).one()
        finish_run(session, VERIFY, SLOT, "failure", 3)
        begin_again(session, VERIFY, SLOT)
        columns = (JobRun.started_at, JobRun.finished_at, JobRun.outcome, JobRun.rows)
        run = session.execute(select(*columns).where(JobRun.job == VERIFY)).one()
    assert unended == SLOT, "its claim is its beginning"
    # What it came to is known until it ends again: a trail that was not intact is not called so by a fresh start.
    assert run.started_at > SLOT and run[1:] == (None, "failure", 3)


def test_statements_do_not_grow_with_rows(admin: Browser, databases: Databases) -> None:
    def asked() -> int:
        with counted(databases) as statements:
            assert admin.get("/system").status_code == 200
        return len(statements)

    make_dead_letter(databases)
    asked()
    before = asked()
    for _ in range(5):
        make_dead_letter(databases)
    assert asked() == before
