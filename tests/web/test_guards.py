"""No route without a guard, and every refusal written down."""

from __future__ import annotations

import uuid

import pytest
from flask import Flask
from pydantic import SecretStr
from sqlalchemy import text

from config import Principal, Settings
from models.engine import Databases
from services.permissions import Permission
from tests.factories.cast import Cast
from tests.web.conftest import Browser, MakeApp
from web.app import make_app
from web.guards import PUBLIC, SIGNED_IN, Guard, Limit, Routes, UnguardedRoute, register_routes, route_table

# Pages and calls that anybody may open; a new one is a decision to be made here.
OPEN = {
    "health.live", "health.ready", "health.health", "metrics.show_metrics", "static.show_file", "docs.show_document",
    "docs.show_page", "account.login", "account.sign_in", "account.language", "invitations.open_link",
    "invitations.choose",
}  # fmt: skip


def show() -> str:
    return "shown"


def test_a_route_cannot_be_added_without_a_guard() -> None:
    with pytest.raises(TypeError):
        Routes("x").add("/x", view=show)  # type: ignore[call-arg]


def test_a_hook_of_one_group_is_refused() -> None:
    """It would never run: requests are of no group (web/app.py)."""
    app = Flask("bare", static_folder=None)
    app.before_request_funcs["x"] = [lambda: None]
    with pytest.raises(ValueError, match=r"never a group's \(x\)"):
        register_routes(app, [])
    app.before_request_funcs.clear()
    app.url_value_preprocessors["y"] = [lambda *_: None]
    with pytest.raises(ValueError, match=r"never a group's \(y\)"):
        register_routes(app, [])
    app.url_value_preprocessors.clear()
    register_routes(app, [])


def test_an_application_with_a_route_past_the_table_does_not_start() -> None:
    app = Flask("bare", static_folder=None)
    app.add_url_rule("/backdoor", view_func=show)
    with pytest.raises(UnguardedRoute, match="/backdoor"):
        register_routes(app, [])


def test_two_views_of_one_name_are_refused() -> None:
    routes = Routes("x")
    routes.add("/a", view=show, guard=PUBLIC)
    with pytest.raises(ValueError, match="twice"):
        routes.add("/b", view=show, guard=PUBLIC)


def test_every_rule_of_the_application_is_in_the_table(app: Flask) -> None:
    table = route_table(app)
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == set(table)
    assert {route.endpoint for route in table.values() if not route.guard.signed_in} == OPEN
    counted = {route.endpoint: route.limit for route in table.values() if route.guard.signed_in}
    assert {endpoint for endpoint, limit in counted.items() if limit is not Limit.STANDARD} == {
        "ai_question.look", "ai_summary.card", "drafts.save", "live.form_token", "live.token", "step_up.confirm",
    }  # fmt: skip
    assert counted["live.token"] is Limit.LIVE


def test_what_is_not_for_a_role_is_403_and_recorded(app: Flask, cast: Cast, databases: Databases) -> None:
    record_id = uuid.uuid4()
    answer = Browser(app).client.get(f"/api/medical-records/{record_id}", headers=cast.auditor.headers)
    assert answer.status_code == 403
    assert answer.get_json()["type"] == "urn:sigilo:problem:forbidden"
    with databases.session(Principal.WORKER) as session:
        event = session.execute(
            text("SELECT * FROM audit_outbox WHERE request_id = :r"), {"r": answer.headers["X-Request-Id"]}
        ).one()
    assert (event.action, event.outcome, event.entity_type) == ("medical_record.read", "refused", "medical_record")
    assert event.entity_id == record_id
    assert (event.actor_id, event.actor_role, event.token_id) == (cast.auditor.id, "AUDITOR", cast.auditor.token_id)
    assert event.ip is not None


def test_a_refusal_stands_when_it_cannot_be_recorded(make_own_app: MakeApp, cast: Cast, databases: Databases) -> None:
    routes = Routes("extra")
    routes.add("/api/extra", view=show, guard=Guard(Permission.USER_MANAGE))
    app = make_own_app(routes)
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(text("REVOKE INSERT ON audit_outbox FROM sigilo_staff"))
    try:
        assert Browser(app).client.get("/api/extra", headers=cast.doctor.headers).status_code == 403
    finally:
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(text("GRANT INSERT ON audit_outbox TO sigilo_staff"))


@pytest.mark.parametrize(
    ("guard", "anonymous", "doctor", "admin"),
    [
        (PUBLIC, 200, 200, 200),
        (SIGNED_IN, 401, 200, 200),
        (Guard(Permission.RECORD_CREATE), 401, 200, 403),
        (Guard(Permission.USER_MANAGE), 401, 403, 403),
    ],
)
def test_guards_let_through_whom_they_say(
    guard: Guard, anonymous: int, doctor: int, admin: int, make_own_app: MakeApp, cast: Cast
) -> None:
    routes = Routes("extra")
    routes.add("/api/extra", view=show, guard=guard)
    client = Browser(make_own_app(routes)).client
    assert client.get("/api/extra").status_code == anonymous
    assert client.get("/api/extra", headers=cast.doctor.headers).status_code == doctor
    # Managing users has no scope: it is for people, not for tokens.
    assert client.get("/api/extra", headers=cast.admin.headers).status_code == admin


def test_an_application_needs_no_server_to_be_built(settings: Settings) -> None:
    nowhere = {
        f"database_url_{principal}": SecretStr("postgresql://nobody@127.0.0.1:1/none") for principal in Principal
    }
    made = make_app(settings.model_copy(update={**nowhere, "redis_url": SecretStr("redis://127.0.0.1:1/0")}))
    assert made.test_client().get("/livez").status_code == 200
    made.extensions["sigilo"].close()
