"""Single-use links: who made the secret, what opens with it, and that it opens once (SECURITY 9, 11, 35)."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.message import EmailMessage

import psycopg.errors
import pytest
from flask import Flask
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from config import Principal, Settings
from integrations.mail import MailRefused, MailUnavailable
from models import PasswordLink, Role, User
from models.engine import Databases
from services.audit_event import SYSTEM
from services.authenticate import secret_hash
from services.field_encryption import field_cipher
from services.password_link_request import request_link, reset_password
from services.password_link_send import MOST_ATTEMPTS, ClaimedLink, claim_link, note_outcome, send_link
from services.session_start import start_session
from tests.factories.cast import Cast
from tests.web.conftest import PASSWORD, Browser, Login

NEW = "outra frase bem comprida"


@dataclass
class Mailbox:
    """A mailer that keeps what it is given, or says why not."""

    sender: str = "sigilo@example.org"
    failure: Exception | None = None
    messages: list[EmailMessage] = field(default_factory=list)

    def send(self, message: EmailMessage, recipient: str) -> None:
        if self.failure is not None:
            raise self.failure
        assert message["To"] == recipient
        self.messages.append(message)


def user_id_of(databases: Databases, login: Login) -> uuid.UUID:
    with databases.session(Principal.STAFF) as session:
        return session.scalars(select(User.id).where(User.email == login.email)).one()


def claim(databases: Databases, user_id: uuid.UUID) -> ClaimedLink:
    """The worker's claim of this user's link: others' of the shared database wait meanwhile."""
    with databases.session(Principal.WORKER) as session:
        session.execute(
            text("UPDATE password_links SET next_attempt_at = now() + interval '1 day' WHERE user_id <> :id"),
            {"id": user_id},
        )
        claimed = claim_link(session)
    assert claimed is not None and claimed.user_id == user_id
    return claimed


@pytest.fixture
def login(make_login: Callable[..., Login]) -> Login:
    return make_login("RECEPTION")


@pytest.fixture
def link(databases: Databases, login: Login) -> str:
    """The path of a fresh link of ``login``."""
    user_id = user_id_of(databases, login)
    with databases.session(Principal.STAFF) as session:
        request_link(session, SYSTEM, user_id, "reset")
    claimed = claim(databases, user_id)
    with databases.session(Principal.WORKER) as session:
        note_outcome(session, claimed, None)
    return f"/invitations/{claimed.secret}"


def said(answer: TestResponse) -> tuple[int, str]:
    """What an answer says: without its form's token, and the address that was asked for."""
    body = re.sub(r'name="(csrf_token|next)" value="[^"]*"', "", answer.get_data(as_text=True))
    return answer.status_code, body


def choose(browser: Browser, link: str, new: str = NEW, again: str | None = None) -> int:
    sent = {"newPassword": new, "repeatedPassword": new if again is None else again}
    return browser.post(link, sent, form="/login").status_code


def test_security_35_the_mail_alone_holds_the_secret(
    databases: Databases, settings: Settings, login: Login
) -> None:
    user_id, box = user_id_of(databases, login), Mailbox()
    with databases.session(Principal.STAFF) as session:
        request_link(session, SYSTEM, user_id, "invitation")
    claimed = claim(databases, user_id)
    assert send_link(box, settings.model_copy(update={"public_url": "https://sigilo.example.org/"}), claimed) is None
    body = box.messages[0].get_content()
    assert f"https://sigilo.example.org/invitations/{claimed.secret}\n" in body
    assert len(claimed.secret) >= 43, "256 bits"
    with databases.session(Principal.BACKUP) as session:
        rows = session.execute(text("SELECT l::text FROM password_links l WHERE user_id = :id"), {"id": user_id})
        dump = "".join(rows.scalars())
    assert claimed.secret not in dump and secret_hash(claimed.secret).hex() in dump
    for statement in (
        "SELECT secret_hash FROM password_links",
        "UPDATE password_links SET secret_hash = sha256('x'), expires_at = now() + interval '1 day'",
        "INSERT INTO password_links (id, user_id, kind, secret_hash, expires_at)"
        " SELECT gen_random_uuid(), id, 'reset', sha256('x'), now() + interval '1 day' FROM users LIMIT 1",
    ):
        with databases.autocommit(Principal.STAFF) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_a_link_sets_the_password_once_and_signs_nobody_in(app: Flask, login: Login, link: str) -> None:
    browser = Browser(app)
    for _ in range(2):  # looking uses nothing up
        page = browser.get(link)
        assert page.status_code == 200 and login.email in page.text
    assert choose(browser, link, again="something else") == 422
    assert choose(browser, link, "senha12345678") == 422
    sent = {"newPassword": NEW, "repeatedPassword": NEW}
    answer = browser.post(link, sent)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?done=password-chosen")
    assert browser.cookie() is None
    assert "Sua senha foi salva" in browser.get("/login?done=password-chosen").text
    assert browser.get(link).status_code == 404
    assert choose(browser, link, "e mais uma frase comprida") == 404
    assert browser.sign_in(login).status_code == 401
    assert browser.sign_in(Login(login.email, NEW)).status_code == 303


def test_security_11_wrong_used_expired_withdrawn_and_disabled_look_the_same(
    app: Flask, databases: Databases, login: Login, link: str
) -> None:
    browser, user_id = Browser(app), user_id_of(databases, login)
    wrong = browser.get(f"/invitations/{secrets.token_urlsafe(32)}")
    assert wrong.status_code == 404
    assert "Este link não abre nada" in wrong.text
    for damage, repair in (
        ("password_links SET used_at = now()", "password_links SET used_at = NULL"),
        ("password_links SET withdrawn_at = now()", "password_links SET withdrawn_at = NULL"),
        ("password_links SET expires_at = now()", "password_links SET expires_at = now() + interval '1 hour'"),
    ):
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(text(f"UPDATE {damage} WHERE user_id = :id"), {"id": user_id})
        assert said(browser.get(link)) == said(wrong), damage
        assert choose(browser, link) == 404, damage
        with databases.session(Principal.MIGRATOR) as session:
            session.execute(text(f"UPDATE {repair} WHERE user_id = :id"), {"id": user_id})
        assert browser.get(link).status_code == 200
    with databases.session(Principal.STAFF) as session:
        session.execute(text("UPDATE users SET disabled_at = now() WHERE id = :id"), {"id": user_id})
    assert said(browser.get(link)) == said(wrong)
    for odd in ("/invitations/x", f"/invitations/{'x' * 5000}", "/invitations/%C3%A9"):
        assert said(browser.get(odd)) == said(wrong)


def test_security_09_neither_the_present_nor_the_previous_password(
    app: Flask, databases: Databases, login: Login, link: str
) -> None:
    browser = Browser(app)
    assert choose(browser, link, PASSWORD) == 422
    assert choose(browser, link) == 303
    browser.sign_in(Login(login.email, NEW))
    for known in (NEW, PASSWORD):
        sent = {"currentPassword": NEW, "newPassword": known, "repeatedPassword": known}
        assert browser.post("/password", sent).status_code == 422


def test_security_35_a_reset_ends_sessions_and_a_changed_password_ends_the_link(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, login: Login
) -> None:
    browser = Browser(app)
    browser.sign_in(login)
    user_id = user_id_of(databases, login)
    admin = replace(cast.admin.actor, token_id=None, scopes=None)
    with databases.session(Principal.STAFF) as session:
        reset_password(session, admin, field_cipher(settings), user_id, reason="senha anotada no monitor")
    assert browser.get("/").status_code == 401
    again = Browser(app)
    again.sign_in(login)
    assert again.get("/").headers["Location"] == "/password", "the old password opens nothing but its change"
    claimed = claim(databases, user_id)
    assert Browser(app).get(f"/invitations/{claimed.secret}").status_code == 200
    sent = {"currentPassword": PASSWORD, "newPassword": NEW, "repeatedPassword": NEW}
    assert again.post("/password", sent).status_code == 303
    assert Browser(app).get(f"/invitations/{claimed.secret}").status_code == 404


def test_using_a_link_ends_open_sessions(app: Flask, databases: Databases, login: Login, link: str) -> None:
    open_one = Browser(app)
    open_one.sign_in(login)
    assert choose(Browser(app), link) == 303
    assert open_one.get("/").status_code == 401


@pytest.mark.parametrize(
    ("failure", "attempts", "is_over"),
    [(MailUnavailable("x"), 1, False), (MailUnavailable("x"), MOST_ATTEMPTS, True), (MailRefused("x"), 1, True)],
)
def test_what_could_not_be_sent_is_tried_again_or_given_up(
    databases: Databases, settings: Settings, login: Login, failure: Exception, attempts: int, is_over: bool
) -> None:
    user_id = user_id_of(databases, login)
    with databases.session(Principal.STAFF) as session:
        request_link(session, SYSTEM, user_id, "invitation")
    claimed = replace(claim(databases, user_id), attempts=attempts)
    with databases.session(Principal.WORKER) as session:
        assert claim_link(session) is None, "nobody else sends it meanwhile"
        note_outcome(session, claimed, send_link(Mailbox(failure=failure), settings, claimed))
    with databases.session(Principal.WORKER) as session:
        row = session.scalars(select(PasswordLink).where(PasswordLink.id == claimed.link_id)).one()
        assert (row.sent_at, row.failed_at is not None) == (None, is_over)
        assert (row.expires_at is None) == is_over
        assert row.next_attempt_at is not None and row.failure is not None


def test_security_27_links_are_tried_as_often_as_passwords(app: Flask, make_own_app: Callable[..., Flask]) -> None:
    browser = Browser(make_own_app(rate_limit_login="3/minute"))
    assert [browser.get("/invitations/x").status_code for _ in range(4)] == [404, 404, 404, 429]


def test_a_session_of_somebody_else_stays_theirs(app: Flask, databases: Databases, cast: Cast, link: str) -> None:
    from services.audit_event import Origin

    browser = Browser(app)
    with databases.session(Principal.ANONYMOUS) as session:
        secret = start_session(session, Origin(), cast.doctor.id, Role.DOCTOR).secret
    browser.client.set_cookie("sigilo", secret, domain="localhost")
    assert browser.post(link, {"newPassword": NEW, "repeatedPassword": NEW}).status_code == 303
    assert cast.doctor.actor.name in browser.get("/").text
