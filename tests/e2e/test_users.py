"""Somebody new comes to the clinic: invited, mailed, signed in; a doctor by two administrators; out at once."""

from __future__ import annotations

import email
import email.policy
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect
from sqlalchemy import text

from config import Principal, Settings
from integrations.mail import make_mailer
from models import Role
from models.engine import Databases
from services.password_link_send import claim_link, note_outcome, send_link
from tests.e2e.conftest import PHONE, OpenAs, listen
from tests.factories.cast import Person, make_person
from tests.web.conftest import PASSWORD, Login
from tests.web.live_server import LiveServer

NEW = "chuva fina no telhado"
Visit = Callable[[str], Page]


@pytest.fixture
def visit(chromium: Chromium, site: LiveServer) -> Iterator[Visit]:
    """A browser of somebody who is not signed in."""
    contexts, complaints = [], list[str]()

    def open_page(path: str) -> Page:
        contexts.append(chromium.new_context(locale="pt-BR", base_url=site.url, reduced_motion="reduce"))
        page = contexts[-1].new_page()
        listen(page, complaints)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def sign_in(visit: Visit, login: Login) -> Page:
    page = visit("/login")
    page.fill("[name=email]", login.email)
    page.fill("[name=password]", login.password)
    page.click("main button[type=submit]")
    return page


def confirm(page: Page, password: str = PASSWORD) -> None:
    """Type the password again where it is asked for."""
    expect(page.locator("h1")).to_have_text("Sua senha, de novo")
    page.fill("[name=password]", password)
    page.click("main button[type=submit]")


def invite(page: Page, address: str, *roles: str, council: str = "") -> None:
    page.goto("/users/new")
    page.fill("[name=fullName]", "Marina Alves")
    page.fill("[name=email]", address)
    for role in roles:
        page.check(f"[value={role}]")
    page.fill("[name=council]", council)
    page.fill("[name=reason]", "começa em dezembro")
    page.click("main form.card button[type=submit]")


def deliver(databases: Databases, settings: Settings, address: str) -> str:
    """Do as the worker does, until the mail to ``address`` lies in its folder; gives the path of its link."""
    mailer = make_mailer(settings)
    assert mailer is not None
    while True:
        with databases.session(Principal.WORKER) as session:
            claimed = claim_link(session)
        assert claimed is not None, f"no mail to {address} was asked for"
        outcome = send_link(mailer, settings, claimed)
        with databases.session(Principal.WORKER) as session:
            note_outcome(session, claimed, outcome)
        if claimed.email == address:
            break
    (mail,) = Path(settings.sigilo_home, "mail").glob(f"{address}-*.eml")
    message = email.message_from_bytes(mail.read_bytes(), policy=email.policy.default)
    found = re.search(r"\S+/invitations/\S+", message.get_content())
    assert found is not None
    return urlsplit(found[0]).path


def choose(page: Page) -> None:
    page.fill("[name=newPassword]", NEW)
    page.fill("[name=repeatedPassword]", NEW)
    page.click("main button[type=submit]")
    expect(page.get_by_role("status")).to_contain_text("Sua senha foi salva")


def test_an_invited_person_gets_a_mail_chooses_a_password_signs_in_and_is_out_at_once_when_disabled(
    visit: Visit, make_login: Callable[..., Login], databases: Databases, settings: Settings
) -> None:
    admin = sign_in(visit, make_login("ADMIN"))
    admin.goto("/users")
    admin.keyboard.press("n")
    confirm(admin)
    expect(admin.locator("h1")).to_have_text("Convidar alguém que trabalha aqui")
    address = f"{secrets.token_hex(8)}@example.org"
    invite(admin, address, "RECEPTION")
    expect(admin.locator("#user-live")).to_contain_text("O link está sendo enviado")
    link = deliver(databases, settings, address)
    expect(admin.locator("#user-live")).to_contain_text("O link foi enviado")
    assert link.rpartition("/")[2] not in admin.content()
    theirs = visit(link)
    choose(theirs)
    theirs.fill("[name=email]", address)
    theirs.fill("[name=password]", NEW)
    theirs.click("main button[type=submit]")
    expect(theirs.locator(".who .name")).to_contain_text("Marina Alves")
    expect(visit(link).locator("h1")).to_have_text("Este link não abre nada")
    admin.get_by_text("Desativar…").click()
    admin.fill("#disable-reason", "saiu da clínica")
    admin.get_by_role("button", name="Desativar", exact=True).click()
    expect(admin.locator("main")).to_contain_text("saiu da clínica")
    theirs.goto("/")
    expect(theirs.locator("h1")).to_have_text("Sua sessão terminou")


def test_a_doctor_needs_a_second_administrator(
    visit: Visit, make_login: Callable[..., Login], databases: Databases, settings: Settings
) -> None:
    first, second = (sign_in(visit, make_login("ADMIN")) for _ in range(2))
    second.goto("/users")
    first.goto("/users/new")
    confirm(first)
    address = f"{secrets.token_hex(8)}@example.org"
    invite(first, address, "DOCTOR")
    expect(first.locator("#form-errors")).to_contain_text("Médicos precisam do CRM")
    first.fill("[name=council]", "CRM-SP 123456")
    first.click("main form.card button[type=submit]")
    expect(first.locator("main")).to_contain_text("Aguarda aprovação")
    first.get_by_role("link", name="Aguarda aprovação").click()
    expect(first.get_by_role("button", name="Aprovar")).to_have_count(0)
    # The other administrator's open page shows it by itself.
    row = second.locator("#waiting li", has=second.locator(f"a[href='{urlsplit(first.url).path}']"))
    expect(row).to_contain_text("Marina Alves")
    row.get_by_role("link", name="Decidir").click()
    confirm(second)
    second.get_by_role("button", name="Aprovar").click()
    expect(second.locator("main")).to_contain_text("desde")
    choose(visit(deliver(databases, settings, address)))


def test_a_token_is_shown_once_and_copied(
    visit: Visit, make_login: Callable[..., Login], databases: Databases
) -> None:
    nurse = make_person(databases, Role.ADMIN, "Rita Prado")
    admin = sign_in(visit, make_login("ADMIN"))
    admin.context.grant_permissions(["clipboard-read", "clipboard-write"])
    admin.goto(f"/users/{nurse.id}")
    admin.get_by_role("link", name="Novo token").click()
    confirm(admin)
    admin.fill("[name=name]", "laboratório")
    admin.check("[value='visits:read']")
    admin.get_by_role("button", name="Criar o token").click()
    secret = admin.input_value("#token")
    assert secret.startswith("sgl_")
    admin.get_by_role("button", name="Copiar").click()
    expect(admin.get_by_role("button", name="Copiado")).to_be_visible()
    assert admin.evaluate("navigator.clipboard.readText()") == secret
    admin.get_by_role("link", name="Já guardei").click()
    expect(admin.locator("main")).to_contain_text("laboratório")
    assert secret not in admin.content()


def test_searching_by_keyboard_and_on_a_phone(open_as: OpenAs, databases: Databases) -> None:
    word = secrets.token_hex(6)
    person: Person = make_person(databases, Role.AUDITOR, f"Zilda {word}")
    page = open_as("admin", "/users", viewport=PHONE)
    page.focus("#q")
    page.keyboard.type(word)
    expect(page.locator("#found li")).to_have_count(1)
    expect(page.locator("#found")).to_contain_text(person.email)
    assert word not in page.url
    page.select_option("#role", "DOCTOR")
    expect(page.locator("#found")).to_contain_text("Ninguém encontrado")


def test_more_people_come_as_one_scrolls(open_as: OpenAs, databases: Databases) -> None:
    word = secrets.token_hex(6)
    with databases.session(Principal.STAFF) as session:
        for number in range(65):
            session.execute(
                text("INSERT INTO users (id, email, full_name) VALUES (gen_random_uuid(), :email, :name)"),
                {"email": f"{word}{number}@example.org", "name": f"{word} {number:02}"},
            )
    page = open_as("admin", "/users")
    page.fill("#q", word)
    expect(page.locator("#found li:not(#more)").first).to_contain_text(f"{word} 00")
    for shown in (60, 65):
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(page.locator("#found li:not(#more)")).to_have_count(shown)
