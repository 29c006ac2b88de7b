"""The pages of users, roles and tokens, and the password again, as an administrator meets them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select, text

from config import Principal
from models import ApiToken, RoleRequest, User
from models.engine import Databases
from models.user import Role
from services.authenticate import secret_hash
from services.permissions import scopes_of
from tests.factories.cast import Cast, Person, make_person
from tests.services.test_query_counts import statements_sent
from tests.web.conftest import PASSWORD, Browser, Login, MakeApp
from tests.web.signed_in import signed_in

BEFORE = "UPDATE sessions SET stepped_up_at = now() - interval '11 minutes' WHERE secret_hash = :hash"


def browse(app: Flask, databases: Databases, person: Person, *, is_sure: bool = True) -> Browser:
    """A browser of ``person``, who, as most tests here want it, typed their password again a moment ago."""
    return signed_in(app, databases, person, is_sure=is_sure)


@pytest.fixture
def admin(app: Flask, databases: Databases, cast: Cast) -> Browser:
    return browse(app, databases, cast.admin)


@pytest.fixture
def second(app: Flask, databases: Databases) -> Browser:
    return browse(app, databases, make_person(databases, Role.ADMIN, "Helena Prates"))


def invitation(**values: str) -> dict[str, str]:
    return {
        "fullName": "Marina Alves", "email": f"{secrets.token_hex(8)}@example.org", "roles": "RECEPTION",
        "reason": "começa em dezembro",
    } | values  # fmt: skip


def user_of(databases: Databases, email: str) -> User | None:
    with databases.session(Principal.STAFF) as session:
        return session.scalars(select(User).where(User.email == email)).one_or_none()


def test_the_list_finds_by_name_role_and_state_and_nothing_stands_in_an_address(
    admin: Browser, databases: Databases
) -> None:
    word = secrets.token_hex(6)
    make_person(databases, Role.NURSE, f"Ção {word}")
    make_person(databases, Role.AUDITOR, f"Outra {word}")
    page = admin.post("/users/search", {"q": f"cao {word}"}, form="/users").text
    assert f"Ção {word}" in page and f"Outra {word}" not in page
    page = admin.post("/users/search", {"q": word, "role": "AUDITOR", "state": "invited"}, form="/users").text
    assert f"Ção {word}" not in page and f"Outra {word}" in page
    assert "Ninguém encontrado" in admin.post("/users/search", {"q": word, "state": "disabled"}, form="/users").text
    assert admin.post("/users/search", {"q": "%", "role": "OWNER"}, form="/users").status_code == 200


def test_pages_go_on_where_they_ended(admin: Browser, databases: Databases) -> None:
    word = secrets.token_hex(6)
    names = [f"{word} {number:02}" for number in range(33)]
    for name in names:
        make_person(databases, Role.RECEPTION, name)
    first = admin.post("/users/search", {"q": word}, form="/users").text
    found = re.search(r'name="cursor" value="([^"]+)"', first)
    assert found is not None
    rest = admin.post("/users/search", {"q": word, "cursor": found[1]}, form="/users").text
    assert [name for name in names if name in first] == names[:30]
    assert [name for name in names if name in rest] == names[30:]
    assert admin.post("/users/search", {"q": "other", "cursor": found[1]}, form="/users").status_code == 422


def test_the_list_takes_as_many_statements_for_many_users_as_for_few(admin: Browser, databases: Databases) -> None:
    word = secrets.token_hex(6)
    make_person(databases, Role.RECEPTION, f"{word} a")
    few = statements_sent(databases, lambda: admin.post("/users/search", {"q": word}, form="/users"))
    for number in range(12):
        make_person(databases, Role.RECEPTION, f"{word} {number}")
    assert statements_sent(databases, lambda: admin.post("/users/search", {"q": word}, form="/users")) == few


def test_inviting_makes_an_account_without_a_password_and_asks_for_a_mail(
    admin: Browser, databases: Databases
) -> None:
    sent = invitation()
    answer = admin.post("/users/new", sent)
    assert (answer.status_code, answer.headers["Location"].endswith("?done=user-invited")) == (303, True)
    made = user_of(databases, sent["email"])
    assert made is not None and made.password_changed_at is None
    with databases.session(Principal.STAFF) as session:
        links = session.execute(text("SELECT count(*) FROM password_links WHERE user_id = :id"), {"id": made.id})
        assert links.scalar_one() == 1
    page = admin.get(answer.headers["Location"]).text
    assert "começa em dezembro" in page and "O link está sendo enviado" in page


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"roles": ""}, "Escolha pelo menos um papel"),
        ({"roles": "DOCTOR"}, "Médicos precisam do CRM"),
        ({"email": "no address"}, "Um endereço de e-mail"),
        ({"cpf": "11111111111"}, "Um CPF válido"),
        ({"fullName": ""}, "Preencha"),
        ({"isAdmin": "true"}, "campo"),
    ],
)
def test_security_20_an_invitation_with_errors_changes_nothing_and_keeps_what_was_typed(
    admin: Browser, databases: Databases, values: dict[str, str], said: str
) -> None:
    sent = invitation() | values
    answer = admin.post("/users/new", sent)
    assert answer.status_code == 422
    assert said in answer.text
    assert "começa em dezembro" in answer.text
    assert user_of(databases, sent["email"]) is None


def test_without_mail_nobody_is_invited_and_the_page_says_what_to_set(
    make_own_app: MakeApp, databases: Databases, cast: Cast
) -> None:
    own = make_own_app(sigilo_env="production")
    browser = browse(own, databases, cast.admin)
    browser.base_url = "https://localhost"
    cookie = browser.client.get_cookie("sigilo", domain="localhost")
    assert cookie is not None
    browser.client.set_cookie("__Host-sigilo", cookie.value, domain="localhost", secure=True)
    page = browser.get("/users/new").text
    assert "SMTP_URL=smtp://" in page and 'name="email"' not in page


def test_a_role_is_approved_by_another_administrator_on_its_own_page(
    admin: Browser, second: Browser, databases: Databases
) -> None:
    sent = invitation(roles="DOCTOR", council="CRM-SP 123456")
    admin.post("/users/new", sent)
    made = user_of(databases, sent["email"])
    assert made is not None and made.roles == []
    with databases.session(Principal.STAFF) as session:
        request = session.scalars(select(RoleRequest.id).where(RoleRequest.user_id == made.id)).one()
    path = f"/users/requests/{request}"
    assert "Marina Alves" in admin.get("/users/requests").text
    assert f"{path}/approve" not in admin.get(path).text
    assert admin.post(f"{path}/approve", form=path).status_code == 403
    assert f"{path}/approve" in second.get(path).text
    assert second.post(f"{path}/decline", {"reason": " "}, form=path).status_code == 422
    assert second.post(f"{path}/approve", form=path).status_code == 303
    granted = user_of(databases, sent["email"])
    assert granted is not None and [held.role for held in granted.roles] == ["DOCTOR"]
    assert second.get(path).status_code == 409


def test_roles_are_added_and_removed_with_a_reason(admin: Browser, databases: Databases) -> None:
    person = make_person(databases, Role.RECEPTION, "Bia Rocha")
    path = f"/users/{person.id}/roles"
    assert admin.post(path, {"role": "AUDITOR", "reason": ""}).status_code == 422
    assert admin.post(path, {"role": "AUDITOR", "reason": "revisão anual"}).status_code == 303
    assert admin.post(path, {"role": "AUDITOR", "reason": "de novo"}).status_code == 422
    answer = admin.post(f"{path}/remove", {"role": "AUDITOR", "reason": "revisão feita"}, form=path)
    assert answer.status_code == 303
    assert "revisão feita" in admin.get(f"/users/{person.id}").text


def test_security_03_disabling_ends_the_open_session_at_once(
    admin: Browser, app: Flask, databases: Databases
) -> None:
    person = make_person(databases, Role.RECEPTION, "Bia Rocha")
    theirs = browse(app, databases, person, is_sure=False)
    assert theirs.get("/").status_code == 200
    path = f"/users/{person.id}"
    assert admin.post(f"{path}/disable", {"reason": ""}, form=path).status_code == 422
    assert theirs.get("/").status_code == 200
    assert admin.post(f"{path}/disable", {"reason": "saiu da clínica"}, form=path).status_code == 303
    assert theirs.get("/").status_code == 401
    assert "saiu da clínica" in admin.get(path).text
    assert admin.post(f"{path}/enable", {"reason": "voltou"}, form=path).status_code == 303
    assert theirs.get("/").status_code == 401


def test_security_22_a_token_is_shown_once_and_dies_when_revoked(
    admin: Browser, app: Flask, databases: Databases, cast: Cast
) -> None:
    person = make_person(databases, Role.ADMIN, "Rita Prado")
    form = f"/users/{person.id}/tokens/new"
    body = {"name": "laboratório", "role": "ADMIN", "days": "30", "quota": "60/minute"}
    assert admin.post(f"/users/{person.id}/tokens", body, form=form).status_code == 422, "no scope ticked"
    wider = body | {"scopes": "visits:read", "role": "DOCTOR"}
    assert admin.post(f"/users/{person.id}/tokens", wider, form=form).status_code == 422, "a role not held"
    made = admin.post(f"/users/{person.id}/tokens", body | {"scopes": "visits:read"}, form=form)
    assert made.headers["Cache-Control"] == "no-store"
    secret = re.search(r'value="(sgl_[^"]+)"', made.text)
    assert secret is not None
    client = Browser(app).client
    headers = {"Authorization": f"Bearer {secret[1]}"}
    assert client.get("/api/visits", headers=headers).status_code == 200
    assert client.get("/api/patients", headers=headers).status_code == 403
    page = admin.get(f"/users/{person.id}").text
    assert "laboratório" in page and secret[1] not in page and "último uso em" in page
    with databases.session(Principal.STAFF) as session:
        token_id = session.scalars(
            select(ApiToken.id).where(ApiToken.user_id == person.id, ApiToken.name == "laboratório")
        ).one()
    revoke = f"/users/{person.id}/tokens/{token_id}/revoke"
    assert admin.post(f"/users/{cast.nurse.id}/tokens/{token_id}/revoke", form=form).status_code == 404
    assert browse(app, databases, cast.doctor).post(revoke, form="/password").status_code == 403
    assert admin.post(revoke, form=form).status_code == 303
    assert client.get("/api/visits", headers=headers).status_code == 401


@pytest.mark.parametrize("role", [Role.DOCTOR, Role.NURSE, Role.RECEPTION, Role.AUDITOR])
def test_no_administrator_makes_a_token_that_sees_more_than_they_do(
    admin: Browser, databases: Databases, role: Role
) -> None:
    person = make_person(databases, role, "Quem Vê Mais")
    form = f"/users/{person.id}/tokens/new"
    assert "sigilo token create" in admin.get(form).text
    body = {"name": "x", "role": role.value, "days": "30", "scopes": min(scopes_of(role)).value}
    refused = admin.post(f"/users/{person.id}/tokens", body, form="/password")
    assert refused.status_code == 403 and "sgl_" not in refused.text
    with databases.session(Principal.STAFF) as session:
        assert session.scalars(select(ApiToken.name).where(ApiToken.user_id == person.id)).all() == ["tests"]


def test_security_06_role_changes_and_tokens_ask_for_the_password_again(
    app: Flask, databases: Databases, cast: Cast
) -> None:
    browser = browse(app, databases, cast.admin, is_sure=False)
    user = f"/users/{cast.nurse.id}"
    for path in ("/users/new", f"{user}/roles", f"{user}/tokens/new"):
        assert browser.get(path).headers["Location"] == f"/step-up?next={path}"
    for path in ("/users/new", f"{user}/roles", f"{user}/roles/remove", f"{user}/tokens"):
        answer = browser.post(path, {"reason": "x"}, form="/password", headers={"Referer": f"http://localhost{user}/roles"})
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/step-up?next={user}/roles")
    as_htmx = browser.post(f"{user}/roles", {}, form="/password", headers={"HX-Request": "true"})
    assert (as_htmx.status_code, as_htmx.headers["HX-Redirect"]) == (204, "/step-up?next=/")
    # A form with text in it stays, and so does its text: the password is typed in another tab.
    kept = {"HX-Request": "true", "HX-Target": "main#main"}
    in_place = browser.post(f"{user}/roles", {}, form="/password", headers=kept)
    assert (in_place.status_code, in_place.headers["HX-Retarget"]) == (403, "#problems")
    assert 'href="/step-up" target="_blank"' in in_place.get_data(as_text=True)
    refused = browser.client.post(f"{user}/roles", headers={"Sec-Fetch-Site": "same-origin"})
    assert refused.status_code == 403, "without a form's token there is not even the question"


def test_security_01_and_06_the_password_again_opens_for_ten_minutes_under_a_new_secret(
    app: Flask, databases: Databases, make_login: Callable[..., Login]
) -> None:
    login = make_login("ADMIN")
    browser = Browser(app)
    browser.sign_in(login)
    old = browser.cookie()
    wrong = browser.post("/step-up", {"password": "not this one", "next": "/users/new"})
    assert wrong.status_code == 422 and browser.cookie() == old
    assert browser.get("/users/new").status_code == 303
    right = browser.post("/step-up", {"password": PASSWORD, "next": "/users/new"})
    assert (right.status_code, right.headers["Location"]) == (303, "/users/new")
    new = browser.cookie()
    assert new is not None and old is not None and new != old
    assert browser.get("/users/new").status_code == 200
    thief = Browser(app)
    thief.client.set_cookie("sigilo", old, domain="localhost")
    assert thief.get("/users").status_code == 401
    with databases.session(Principal.ANONYMOUS) as session:
        session.execute(text(BEFORE), {"hash": secret_hash(new)})
    assert browser.get("/users/new").status_code == 303
    elsewhere = browser.post("/step-up", {"password": PASSWORD, "next": "https://evil.example/"})
    assert elsewhere.headers["Location"] == "/"


def test_security_12_guesses_at_the_step_up_are_counted(app: Flask, databases: Databases) -> None:
    browser = browse(app, databases, make_person(databases, Role.ADMIN, "Davi Nunes"), is_sure=False)
    statuses = [browser.post("/step-up", {"password": f"guess {number}"}).status_code for number in range(11)]
    assert statuses == [422] * 10 + [429]
