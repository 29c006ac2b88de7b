"""``sigilo preflight`` at a real installation: all well, and then one thing after the other made wrong."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config import PRODUCT_VERSION
from embedded.preflight import acts, queries, readiness
from embedded.preflight.check import Outcome, State
from embedded.process import wait_until
from services.backup_standing import AT_WORK
from services.job_schedule import BACKUP
from tests.preflight.conftest import HOST, OPERATOR, Place, failing
from tests.preflight.front import front, saying

UNSEEN = {"Error rate", "Latency"}  # too few requests to say, or enough of them, as it happens
MakeResult = Callable[..., Path]


@contextmanager
def wrong_row(place: Place, change: str, undo: str) -> Iterator[None]:
    """A change behind everybody's back, for as long as the block lasts."""
    place.query(change)
    try:
        yield
    finally:
        place.query(undo)


@pytest.fixture
def way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "operations.md").write_text("# Operations\n## Roll back to the release before\n")
    monkeypatch.setattr(readiness, "DOCS", tmp_path)


@pytest.mark.usefixtures("way_back")
def test_everything_passes_that_is_well(place: Place, load_result: MakeResult) -> None:
    report = place.folder / "report.json"
    with (
        saying(status=308, Location=f"{place.url}/login") as plain,
        saying('{"data": {"alerts": [], "result": []}}') as prometheus,
    ):
        done = place.preflight(
            "--url", place.url, "--host-report", str(place.file("host.txt", HOST)), "--load-result", str(load_result()),
            "--mail-to", OPERATOR, "--credentials", str(place.installation.home.demo_credentials), "--as", "nurse",
            "--http-url", plain, "--prometheus", prometheus, "--json", str(report),
            "--log", str(place.installation.output),
        )  # fmt: skip
    said = json.loads(report.read_text())
    wrong = [row for row in said["rows"] if row["state"] != "PASS" and row["name"] not in UNSEEN]
    assert wrong == []
    assert done.exit_code == 0, done.output
    assert (said["failed"], said["version"], said["url"]) == (0, PRODUCT_VERSION, place.url)
    assert {row["row"] for row in said["rows"]} == {12, 14, 15, 16, 17, 18, 20, 21, 23, 24}
    assert place.inbox.taken == [OPERATOR]
    # What is left is what it names: the token can't be used any more, and the events tell of it.
    assert "token.revoke" in done.output and len(said["left"]) == 1
    left = place.query("SELECT count(*), count(revoked_at) FROM api_tokens WHERE name = 'preflight'")
    assert left == (1, 1)
    phases = [line.split()[1] for line in done.output.splitlines() if line[:4] in ("PASS", "FAIL")]
    assert phases == sorted(phases, key=("before", "during", "after").index)


def test_one_phase_can_be_asked_for_and_what_fails_fails_the_whole(place: Place) -> None:
    place.front.spoilt.without = {"x-frame-options"}
    done = place.preflight("during", "--url", place.url)
    assert done.exit_code == 1
    lines = [line for line in done.output.splitlines() if line[:4] in ("PASS", "FAIL")]
    assert {line.split()[1] for line in lines} == {"during"}
    assert [line for line in lines if line.startswith("FAIL")] == [
        "FAIL      during [23] Security headers: /login lacks x-frame-options with DENY: does a proxy take it away?"
    ]


@pytest.mark.parametrize(
    ("name", "without", "instead", "words"),
    [
        ("HSTS", {"strict-transport-security"}, {}, "SIGILO_ENV"),
        ("HSTS", set(), {"strict-transport-security": "max-age=60"}, "max-age=60"),
        ("CORS: foreign origins get nothing", set(), {"access-control-allow-origin": "*"}, "CORS_ORIGINS"),
        ("Cache: files that never change", set(), {"cache-control": "public, max-age=60"}, "immutable"),
        ("Cache: nothing about patients", set(), {"cache-control": "public, max-age=60"}, "proxy"),
        ("Rate limits hold", {"retry-after"}, {}, "Retry-After"),
    ],
)
def test_what_a_proxy_spoils_fails(
    place: Place, name: str, without: set[str], instead: dict[str, str], words: str
) -> None:
    place.front.spoilt.without, place.front.spoilt.instead = without, instead
    assert failing(place.look(name), words)


def test_a_quota_that_lets_others_pass_and_a_silent_api_fail(place: Place) -> None:
    place.front.spoilt.refuses = True
    assert failing(place.look("Rate limits hold"), "0 of 9 requests passed a quota of 6")
    assert failing(place.look("Endpoints answer"), "/api/patients")
    assert failing(place.look("Acts are in the trail"), "no request was answered")


def test_old_tls_that_is_spoken_fails(place: Place) -> None:
    with front(place.installation.port, place.folder / "server.pem", old_tls=True) as old:
        url = f"https://127.0.0.1:{old.server_address[1]}"
        assert failing(place.look("TLS 1.1 is refused", url), "TLSv1.1 is spoken")
    assert place.look("TLS 1.1 is refused").state is State.PASS
    for name in ("TLS 1.1 is refused", "HTTP is redirected", "HSTS"):
        assert place.look(name, f"http://127.0.0.1:{place.installation.port}").state is State.NOT_HERE


def test_plain_http_that_serves_or_leads_elsewhere_fails(place: Place) -> None:
    with saying("<h1>Sigilo</h1>") as plain:
        assert failing(place.look("HTTP is redirected", http_url=plain), "answers 200")
    with saying(status=301, Location="https://elsewhere.example/") as plain:
        assert failing(place.look("HTTP is redirected", http_url=plain), "elsewhere.example")
    assert place.look("HTTP is redirected").state is State.NOT_HERE  # a port that says nothing of another


def test_events_that_nobody_seals_fail(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "SEALED_SECONDS", 1.0)
    worker = place.installation.child("--queues audit")
    worker.suspend()
    try:
        assert failing(place.look("Acts are in the trail"), "6 of 6 requests", "audit worker")
    finally:
        worker.resume()


def test_a_schema_of_another_release_fails(place: Place) -> None:
    row = place.query("SELECT version_num FROM alembic_version")
    assert row is not None
    with wrong_row(
        place,
        "UPDATE alembic_version SET version_num = '0001'",
        f"UPDATE alembic_version SET version_num = '{row[0]}'",
    ):
        assert failing(place.look("Migrations are applied"), "sigilo db upgrade")
        time.sleep(1.0)  # what /readyz answered is kept for a second
        assert failing(place.look("Ready for requests"), "another schema")
        assert failing(place.look("Health of every part"), "another schema")


def test_a_backup_that_no_drill_restored_fails(place: Place) -> None:
    # A new installation makes one of its own too, and drills it: what that verifies meanwhile would count.
    made = f"EXISTS (SELECT FROM job_runs WHERE job = '{BACKUP}' AND finished_at IS NOT NULL)"
    settled = f"SELECT {made} AND NOT {AT_WORK}"
    assert wait_until(lambda: place.query(settled) == (True,), 60), place.query("SELECT array_agg(b) FROM backups b")
    with wrong_row(
        place,
        "UPDATE backups SET state = 'DONE' WHERE state = 'VERIFIED'",
        "UPDATE backups SET state = 'VERIFIED' WHERE state = 'DONE' AND verified_at IS NOT NULL",
    ):
        assert failing(place.look("Backup is done and drilled"), "sigilo backup create")
        assert failing(place.look("Backups"), "backup drill")
    assert place.look("Backup is done and drilled").state is State.PASS


def test_work_that_failed_for_good_fails(place: Place) -> None:
    with wrong_row(
        place,
        "INSERT INTO dead_letters (id, task, queue, arguments, error, task_id, attempts)"
        " VALUES (gen_random_uuid(), 'mail.send', 'mail', '{}', 'KeyError', 'preflight', 1)",
        "DELETE FROM dead_letters WHERE task_id = 'preflight'",
    ):
        assert failing(place.look("No work failed for good"), "1 of them since", "/system")


def test_secrets_that_others_read_fail(place: Place) -> None:
    key = place.installation.home.secrets / "field_key"
    key.chmod(0o604)
    try:
        assert failing(place.look("Secrets are strong, of their own, and read by nobody else"), "chmod o=")
    finally:
        key.chmod(0o600)


def test_mail_that_is_refused_or_that_nobody_takes_fails(place: Place) -> None:
    name = "Mail alerts arrive"
    place.inbox.refusal = "550 nobody of that name"
    assert failing(place.look(name, mail_to=OPERATOR), "refuses it (refused with 550)")
    place.inbox.refusal = "451 later"
    assert failing(place.look(name, mail_to=OPERATOR), "does not take it")
    assert place.look(name).state is State.NOT_HERE
    os.environ["SMTP_URL"] = ""
    assert failing(place.look(name, mail_to=OPERATOR), "SMTP_URL")


def test_servers_with_a_public_address_fail(place: Place) -> None:
    os.environ["REDIS_URL"] = "redis://:0123456789abcdef@1.1.1.1:6379/0"
    assert failing(place.look("Database and Redis have no public address"), "Redis (1.1.1.1) is at 1.1.1.1")


def test_queries_beyond_the_bound_fail(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.look("Queries take less than 100 ms").state is State.PASS
    monkeypatch.setattr(queries, "MOST_MS", 0.0)
    assert failing(place.look("Queries take less than 100 ms"), "newest records", "ANALYZE")


def test_queries_are_judged_by_what_prometheus_collected(place: Place) -> None:
    """Where it collects them: production's pg_stat_statements is in another database than the clinic's."""
    name = "Queries take less than 100 ms"

    def collected(*milliseconds: str) -> str:
        result = [
            {"metric": {"user": "sigilo_staff", "queryid": str(number)}, "value": [1_790_000_000, each]}
            for number, each in enumerate(milliseconds)
        ]
        return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})

    with saying(collected("3.25", "NaN", "0.1")) as url:
        outcome = place.look(name, prometheus_url=url)
        assert outcome.state is State.PASS and "2 kinds of statements, the slowest 3.2 ms" in outcome.text
    with saying(collected("3.25", "180", "120")) as url:
        assert failing(place.look(name, prometheus_url=url), "2 kinds", "sigilo_staff, statement 1: 180 ms")
    with saying(collected()) as url:
        assert "EXPLAIN ANALYZE" in place.look(name, prometheus_url=url).text


def test_a_load_result_that_is_worse_fails(place: Place, load_result: MakeResult) -> None:
    name = "Load is as in the baseline"

    def look(**changes: object) -> Outcome:
        return place.look(name, load_result=load_result(**changes))

    assert failing(look(errors=2, problems=["start: answers 500 (2 times)"]), "start: answers 500")
    assert failing(look(product="0.9.9"), "0.9.9")
    assert failing(look(users=10), "10 users")
    assert failing(look(hello_per_second=3_000.0), "3.0 times as long")
    assert failing(place.look(name, load_result=place.file("empty.json", "{}")), "make load")
    (place.folder / "baseline.json").unlink()
    assert failing(look(), "no baseline is kept")


def test_a_login_that_does_not_work_fails(place: Place) -> None:
    given = {"email": "ninguem@clinica.example", "password": "errada errada errada"}
    assert failing(place.look("People sign in and out", **given), "e-mail and password")
    assert place.look("People sign in and out").state is State.NOT_HERE
