"""With an outbox that takes no event, no patient's data leaves: 503, from every route that would show some.

The routes come from the URL map. One that answers all the same needs a line in ``SHOWS_NO_PATIENT``, and is looked
through for what the scene's patients are called and suffer from.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from config import Principal, Settings
from models import Draft
from models.engine import Databases
from services.audit_event import UNAUDITED
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.factories.backup import forget_backups
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast
from tests.factories.question import make_question
from tests.servers import DatabaseServer
from tests.web.access_pages import PAGES
from tests.web.access_table import ACTORS, TABLE, Expected
from tests.web.test_access_matrix import Scene, guarded_routes, request_for
from tests.web.test_access_matrix_pages import send

# What the refusal leads to is measured where it is tested; here every route runs.
pytestmark = pytest.mark.unmeasured

# As when the disk of the outbox is full (SQLSTATE 53100).
FULL = """
CREATE FUNCTION outbox_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER outbox_is_full BEFORE INSERT ON audit_outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_is_full()
"""
SAID = "a trilha de auditoria não pode ser escrita"
OF_A_PATIENT = ("Ávila", "João Estranho", "Zeca Efêmero", "Alguém", "Cefaleia")
NOBODY = "anonymous"
EVERYBODY = frozenset(ACTORS)
OFFICE = frozenset({"admin"})
# Who is answered all the same, since it tells nothing of any patient; where they change something, it may be refused.
SHOWS_NO_PATIENT: dict[tuple[str, str], frozenset[str]] = {
    # about who asks, and what their open pages ask by themselves
    **dict.fromkeys(
        [
            ("GET", "/api/me"), ("GET", "/password"), ("GET", "/step-up"), ("GET", "/notifications/bell"),
            ("POST", "/notifications/read"), ("GET", "/live"), ("GET", "/live/form-token"), ("GET", "/live/stay"),
        ],
        EVERYBODY,
    ),
    # the start page of these is about the system, or leads to their own
    ("GET", "/"): frozenset({"admin", "patient", "stranger"}),
    # a patient's own page is their record
    ("GET", "/me"): EVERYBODY - {"patient", "stranger"},
    # forms with nothing in them yet, and what is said of what was typed into them
    **dict.fromkeys(
        [
            ("GET", "/patients/new"), ("GET", "/visits/new"), ("GET", "/medical-records/new/patient"),
            ("POST", "/patients/check"), ("POST", "/medical-records/check"), ("POST", "/drafts"),
            ("GET", "/cid10/search"), ("POST", "/cid10/search"),
            ("GET", "/medical-records/<uuid:record_id>/close"), ("GET", "/medical-records/<uuid:record_id>/inactivate"),
            ("POST", "/staff"),
        ],
        EVERYBODY,
    ),
    # an access that is over already
    ("POST", "/emergency-accesses/<uuid:grant_id>/end"): EVERYBODY,
    # colleagues, quotas, the machine, and counts of what was imported
    **dict.fromkeys(
        [
            ("GET", "/imports"), ("GET", "/imports/<uuid:job_id>"), ("GET", "/rate-limits"), ("GET", "/system"),
            ("GET", "/backups"), ("GET", "/backups/<uuid:backup_id>"),
            ("GET", "/system/jobs/<job>"), ("GET", "/system/dead-letters/<uuid:letter_id>"),
            ("GET", "/rate-limits/tokens/<uuid:token_id>"), ("GET", "/rate-limits/users/<uuid:user_id>"),
            ("GET", "/users/<uuid:user_id>/link"), ("GET", "/users/new"), ("GET", "/users/requests"),
        ],
        OFFICE,
    ),
    ("GET", "/access-rules"): OFFICE | {"auditor"},
    # nobody but the doctor asked the local model; the answer is there already, and nobody refused
    ("GET", "/patients/<uuid:patient_id>/summary"): EVERYBODY - {"doctor"},
    ("POST", "/ai/questions/<uuid:question_id>/cancel"): EVERYBODY,
    ("GET", "/ai/questions/<uuid:question_id>"): EVERYBODY,  # where it leads to is tried by itself
    ("POST", "/patients/<uuid:patient_id>/ai-refusal/end"): EVERYBODY,
    ("GET", "/ai"): OFFICE | {"auditor"},
}  # fmt: skip
# Refused for another reason than the outbox: nobody asked for the role, and the form is not complete.
REFUSED = {
    ("GET", "/users/requests/<uuid:request_id>"): 404,
    ("POST", "/users/requests/<uuid:request_id>/approve"): 404,
    ("POST", "/users/requests/<uuid:request_id>/decline"): 404,
    ("POST", "/users/new"): 422,
}
# One's own session and password, the end of a token, an import's files and the places in them that were refused.
NOT_TRIED = {
    ("POST", "/logout"), ("POST", "/password"), ("POST", "/step-up"),
    ("POST", "/me/sessions/<uuid:session_id>/end"), ("POST", "/me/sessions/end-others"),
    ("POST", "/users/<uuid:user_id>/tokens/<uuid:token_id>/revoke"),
    ("POST", "/api/imports"), ("GET", "/api/imports/<uuid:job_id>"), ("GET", "/api/imports/<uuid:job_id>/rejects"),
}  # fmt: skip
# One's own words, which are nothing that was read; the form that holds the rest of the record is tried.
DRAFTS = {("GET", "/drafts/<uuid:draft_id>"), ("POST", "/drafts/<uuid:draft_id>/discard")}
# The scene's colleague is inside this team already, and is to be put there.
TO_JOIN = {("POST", "/api/patients/<uuid:patient_id>/care-team"), ("POST", "/patients/<uuid:patient_id>/care-team")}


# What a patient does about their own record.
THEIR_OWN = {
    ("POST", "/patients/<uuid:patient_id>/ai-refusal"), ("POST", "/patients/<uuid:patient_id>/ai-refusal/end"),
}  # fmt: skip


def test_every_guarded_route_is_tried_or_named(app: Flask) -> None:
    routes = guarded_routes(app, is_api=True) | guarded_routes(app, is_api=False)
    assert routes - set(TABLE) - set(PAGES) - DRAFTS == NOT_TRIED
    assert set(SHOWS_NO_PATIENT) | set(REFUSED) <= routes


@pytest.fixture(scope="module")
def ids(databases: Databases, settings: Settings, cast: Cast) -> dict[str, uuid.UUID]:
    """One scene for all: nothing that is asked here is done."""
    forget_backups(databases)  # one that waits, of another module's, would be the reason for a refusal
    scene = Scene(databases, settings, cast, joins=True)
    made = scene.make()
    with databases.session(Principal.STAFF) as session:
        draft = Draft(
            user_id=cast.doctor.id, patient_id=made["team_patient"], content={"values": {"notes": "Cefaleia"}},
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )  # fmt: skip
        session.add(draft)
        new = NewRecord(made["team_patient"], {"title": "Consulta", "diagnosis": "Cefaleia"})
        create_record(session, cast.doctor.actor, field_cipher(settings), new)
    asked = {"question_id": make_question(databases, settings, cast.doctor, made["team_patient"])}
    others = {"draft_id": draft.id, "to_join": scene.patient_with_team(), "own": made["patient_id"]}
    return made | asked | others | {"patient_id": made["team_patient"]}


@pytest.fixture(scope="module")
def cookies(databases: Databases, cast: Cast) -> dict[str, str]:
    """Actor → the header with their session's cookie."""
    people = {name: cast.people[name] for name in ACTORS if name != NOBODY}
    return {name: f"sigilo={open_session(databases, each, stepped_up=True)}" for name, each in people.items()}


@pytest.fixture(scope="module", autouse=True)
def outbox_is_full(
    server: DatabaseServer, database: str, ids: dict[str, uuid.UUID], cookies: dict[str, str]
) -> Iterator[None]:
    with psycopg.connect(server.superuser_url(database), autocommit=True) as connection:
        connection.execute(FULL)
        yield
        connection.execute("DROP FUNCTION outbox_is_full() CASCADE")


def let_in(expected: Expected) -> list[str]:
    """Who gets the thing when all is well."""
    return [name for name, status in expected.known.items() if status < 400]


# Nobody is let in as the scene stands: what there is to restore, remove or try again is none of it.
ASKED_BY_NOBODY = {
    ("POST", "/api/medical-records/<uuid:record_id>/restore"), ("POST", "/api/patients/<uuid:patient_id>/restore"),
    ("GET", "/medical-records/<uuid:record_id>/restore"), ("POST", "/medical-records/<uuid:record_id>/restore"),
    ("POST", "/patients/<uuid:patient_id>/restore"),
    ("POST", "/patients/<uuid:patient_id>/care-team/<uuid:user_id>/remove"),
    ("POST", "/users/<uuid:user_id>/enable"), ("POST", "/imports"), ("POST", "/imports/<uuid:job_id>/retry"),
    ("GET", "/audit/alarm"), ("POST", "/audit/alarm"),  # the trail is intact
}  # fmt: skip


def test_only_named_routes_are_asked_by_nobody() -> None:
    asked_by_nobody = {key for table in (TABLE, PAGES) for key, expected in table.items() if not let_in(expected)}
    assert asked_by_nobody == ASKED_BY_NOBODY


def objects(key: tuple[str, str], ids: dict[str, uuid.UUID]) -> dict[str, uuid.UUID]:
    if key in THEIR_OWN:
        return ids | {"patient_id": ids["own"]}
    return ids | {"patient_id": ids["to_join"]} if key in TO_JOIN else ids


def wrong_with(key: tuple[str, str], who: str, status: int, body: str) -> list[str]:
    told = [word for word in OF_A_PATIENT if word in body]
    fine = {200, 204, 303, 503} if who in SHOWS_NO_PATIENT.get(key, ()) else {REFUSED.get(key, 503)}
    return [] if status in fine and not told else [f"{who}: {status} {told}"]


@pytest.mark.parametrize("key", sorted(TABLE), ids=" ".join)
def test_no_call_answers_with_what_could_not_be_audited(
    client: FlaskClient, cast: Cast, ids: dict[str, uuid.UUID], key: tuple[str, str]
) -> None:
    wrong = []
    for who in let_in(TABLE[key]):
        path, body = request_for(*key, objects(key, ids))
        answer = client.open(path, method=key[0], json=body, headers=cast.people[who].headers)
        wrong += wrong_with(key, who, answer.status_code, answer.text)
        if answer.status_code == 503:
            assert (answer.json or {})["detail"] == UNAUDITED
    assert wrong == []


@pytest.mark.parametrize("key", sorted(PAGES), ids=" ".join)
def test_no_page_shows_what_could_not_be_audited(
    app: Flask, client: FlaskClient, ids: dict[str, uuid.UUID], cookies: dict[str, str], key: tuple[str, str]
) -> None:
    wrong = []
    for who in let_in(PAGES[key]):
        answer = send(app, client, *key, objects(key, ids), cookies[who])
        wrong += wrong_with(key, who, answer.status_code, answer.text)
        if answer.status_code == 503:
            assert SAID in answer.text, who
    assert wrong == []


def test_a_draft_is_not_shown_either(
    app: Flask, client: FlaskClient, ids: dict[str, uuid.UUID], cookies: dict[str, str]
) -> None:
    answer = send(app, client, "GET", "/drafts/<uuid:draft_id>", ids, cookies["doctor"])
    assert (answer.status_code, wrong_with(("GET", "/drafts"), "doctor", 503, answer.text)) == (303, [])
    form = send(app, client, "GET", answer.headers["Location"], ids, cookies["doctor"])
    assert (form.status_code, wrong_with(("GET", "/drafts"), "doctor", 503, form.text)) == (503, [])
