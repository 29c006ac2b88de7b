"""The production image: built from its Dockerfile, then run as an engine would run it. `make image` does both;
``TEST_IMAGE`` names the folder of one that deploy/image/build-here made before."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from config import PRODUCT_VERSION, Principal, load_settings
from embedded.process import spawn, stop, wait_until
from embedded.wheel_programs import redis_program
from models import Role
from models.engine import Databases
from services.password import hash_password
from tests.cluster import Server, programs_here, server_folders
from tests.deploy.load import Load
from tests.deploy.proxy import Proxy
from tests.factories.cast import PLENTY, Person, join_team, make_patient, make_person
from tests.image.container import Container, Image
from tests.image.secret_search import secrets_in
from tests.installation import free_port

TOP = Path(__file__).resolve().parents[2]
DEPLOY = TOP / "deploy" / "image"
UID = GID = 1001
SECRETS = ("secret_key", "field_key", "audit_signing_key")
STARTS_SECONDS = 90.0
GENTLE_SECONDS = 30.0  # SIGTERM to the end, at most
PASSWORD = "lampião quieto verde sertão"
EVENTS_OF_RECORDS = """
    SELECT count(DISTINCT entity_id), count(*) FROM audit_outbox WHERE action = 'medical_record.create'
"""
SIZE_MAX_MB = 500
# What makes programs, fetches them or changes who one is has no place in it.
UNWANTED = ("gcc", "cc", "make", "pip", "pip3", "curl", "wget", "git", "ssh")
# Debian's base has these; none of them works without capabilities, which a container is not given.
SET_ID = {"chage", "chfn", "chsh", "expiry", "gpasswd", "mount", "newgrp", "passwd", "su", "umount", "unix_chkpwd"}


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    named = os.environ.get("TEST_IMAGE")
    if named:
        return Image(Path(named))
    root = tmp_path_factory.mktemp("image") / "root"
    subprocess.run([DEPLOY / "build-here", root], check=True)
    return Image(root)


@pytest.fixture
def database() -> Iterator[Server]:
    """A server that is made and not started: whoever needs it starts it."""
    programs = programs_here()
    with server_folders(programs.account, "one") as (folder,):
        server = Server(programs, folder)
        server.make()
        yield server
        server.end()


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    program = str(redis_program())
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = spawn(command, environment={"PATH": "/usr/bin:/bin"}, folder=tmp_path, log=tmp_path / "redis.log")
    yield f"redis://127.0.0.1:{port}/0"
    stop(process, ())


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The volume: the image's account's own, with the secrets as an operator mounts them."""
    folder = tmp_path / "state"
    (folder / "secrets").mkdir(parents=True)
    for name in SECRETS:
        (folder / "secrets" / name).write_bytes(base64.b64encode(os.urandom(32)))
    for each in (folder, *folder.rglob("*")):
        os.chown(each, UID, GID)
        each.chmod(0o700 if each.is_dir() else 0o400)
    return folder


@pytest.fixture
def environment(database: Server, redis_url: str) -> dict[str, str]:
    return {f"{name.upper()}_FILE": f"/var/lib/sigilo/secrets/{name}" for name in SECRETS} | {
        "DATABASE_URL": database.url("postgres"),
        "REDIS_URL": redis_url,
        "PORT": str(free_port()),
        "PUBLIC_URL": "https://clinica.example",
    }


@pytest.fixture
def log(tmp_path: Path) -> Iterator[IO[str]]:
    path = tmp_path / "log"
    with path.open("w") as file:
        yield file
    sys.stdout.write(path.read_text()[-4_000:])  # for whoever reads a failure


def answer(port: str, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as found:
            return int(found.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def until_ready(port: str, container: Container) -> None:
    assert wait_until(lambda: answer(port, "/readyz") == 200 or container.has_ended, STARTS_SECONDS)
    assert not container.has_ended, "it ended by itself"


def test_its_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    subprocess.run([hadolint, DEPLOY / "Dockerfile", TOP / "deploy" / "postgres" / "Dockerfile"], check=True)


def test_what_it_is_started_with(image: Image) -> None:
    assert image.configuration["User"] == f"{UID}:{GID}"
    assert image.words("Entrypoint") == ["/usr/bin/tini", "--", "/opt/sigilo/app/deploy/image/entrypoint"]
    assert image.words("Cmd")[0] == "web"
    assert image.configuration["Labels"]["org.opencontainers.image.version"] == PRODUCT_VERSION
    assert not [each for each in image.words("Env") if "KEY" in each or "PASSWORD" in each or "URL" in each]


def test_nothing_in_it_is_secret(image: Image) -> None:
    assert secrets_in(image.root) == []


def test_what_is_in_it(image: Image) -> None:
    files = [path for path in image.root.rglob("*") if not path.is_symlink() and path.is_file()]
    assert {path.name for path in files} & set(UNWANTED) == set()
    assert {path.name for path in files if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)} <= SET_ID
    of_the_account = [path for path in image.root.rglob("*") if path.lstat().st_uid == UID]
    assert of_the_account == [image.root / "var/lib/sigilo"], "nothing of the program is its account's to change"
    assert sum(path.stat().st_size for path in files) < SIZE_MAX_MB * 1_000_000
    app = image.root / "opt/sigilo/app"
    assert not (app / "tests").exists() and not (app / ".git").exists() and not (app / "var").exists()


def test_its_bill_of_materials_names_every_part_and_licence(image: Image) -> None:
    bill = json.loads((image.root / "opt/sigilo/sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    parts = {each["purl"].split("@")[0]: each for each in bill["components"]}
    lines = (DEPLOY / "requirements.txt").read_text().splitlines()
    # Lines with a condition are for other versions of Python, or other systems.
    pinned = {f"pkg:pypi/{line.split('==')[0]}" for line in lines if "==" in line and ";" not in line}
    assert pinned <= parts.keys()
    assert [name for name, part in parts.items() if name.startswith("pkg:pypi/") and not part["licenses"]] == []
    assert {f"pkg:deb/debian/{name}" for name in ("libc6", "python3.11-minimal", "libpq5")} <= parts.keys()


def test_web_waits_for_its_database_and_brings_it_up_to_date(
    image: Image, database: Server, environment: dict[str, str], state: Path, log: IO[str]
) -> None:
    arguments = ["web", "--host", "127.0.0.1"]
    web = image.run(*arguments, state=state, environment=environment, log=log)
    try:
        assert wait_until(lambda: any("wait" in each.cmdline() for each in web.members), STARTS_SECONDS)
        assert answer(environment["PORT"], "/livez") == 0
        database.start()
        until_ready(environment["PORT"], web)
        assert {each.uids().real for each in web.members} == {UID}
        assert {each.gids().real for each in web.members} == {GID}
        alive = image.start(image.health_check, state=state, environment=environment, log=log)
        assert alive.wait(30) == 0
    finally:
        status = web.stop()
    assert status == 0, "it went on until it was done, and ended by itself"


def test_worker_and_scheduler_do_their_work(
    image: Image, database: Server, environment: dict[str, str], state: Path, log: IO[str]
) -> None:
    database.start()
    upgraded = image.start(["sigilo", "db", "upgrade"], state=state, environment=environment, log=log)
    assert upgraded.wait(STARTS_SECONDS) == 0
    running = [
        image.run(*arguments, state=state, environment=environment, log=log)
        for arguments in (["worker", "--queue", "audit"], ["scheduler"])
    ]
    try:
        user = ["sigilo", "user", "create", "--email", "ana@clinica.example", "--name", "Ana", "--role", "ADMIN"]
        assert image.start(user, state=state, environment=environment, log=log).wait(STARTS_SECONDS) == 0

        def is_sealed() -> bool:
            with database.connect() as connection:
                return connection.execute("SELECT count(*) > 0 FROM audit_trail").fetchone() == (True,)

        assert wait_until(is_sealed, STARTS_SECONDS)
    finally:
        ends = [each.stop() for each in running]
    assert ends == [0, 0]


def test_sigterm_under_load_fails_no_request(
    image: Image, database: Server, environment: dict[str, str], state: Path, log: IO[str], tmp_path: Path
) -> None:
    """Two containers behind the proxy, people at work, and the one whom requests come to first is told to end: it
    answers what it was asked, ends within half a minute, and nobody notices."""
    database.start()
    ports = {colour: free_port() for colour in ("blue", "green")}
    (tmp_path / "proxy").mkdir()
    proxy = Proxy(tmp_path / "proxy", ports)
    (proxy.state / "blue-then-green").touch()
    variables = environment | {
        "PUBLIC_URL": proxy.url, "TRUSTED_PROXIES": "127.0.0.1",
        **{f"RATE_LIMIT_{kind}": PLENTY for kind in ("DEFAULT", "PAGES", "LIVE", "ANONYMOUS", "LOGIN")},
    }  # fmt: skip
    containers: list[Container] = []
    try:
        for port in ports.values():
            given = variables | {"PORT": str(port)}
            containers.append(image.run("web", "--host", "127.0.0.1", state=state, environment=given, log=log))
            until_ready(str(port), containers[-1])
        proxy.start()
        with people_of(database, environment, state) as (doctor, patient_id):
            load = Load(proxy.https, proxy.trust(), doctor.token, str(patient_id), doctor.email, PASSWORD)
            with load:
                assert wait_until(lambda: load.counts["sign_in_and_out"] > 1, 30), load.failures
                before = {each: load.counts[each] for each in ("read", "write", "browse", "sign_in_and_out")}
                began = time.monotonic()
                assert containers.pop(0).stop() == 0
                ended_after = time.monotonic() - began
                assert wait_until(lambda: all(load.counts[each] > before[each] + 1 for each in before), 30)
            assert load.failures == []
            with database.connect() as connection:
                rows = connection.execute("SELECT count(*) FROM medical_records").fetchone()
                events = connection.execute(EVENTS_OF_RECORDS).fetchone()
        assert rows == (len(load.written),) and events == (len(load.written),) * 2, "each that was answered for, once"
        assert ended_after < GENTLE_SECONDS
        sys.stdout.write(f"ended after {ended_after:.1f} s; none failed of {dict(load.counts)}\n")
    finally:
        proxy.stop()
        for container in containers:
            container.stop()


@contextmanager
def people_of(database: Server, environment: dict[str, str], state: Path) -> Iterator[tuple[Person, uuid.UUID]]:
    """A doctor who signs in and has a token, and a patient of theirs, by the image's own keys."""
    settings = load_settings(
        database_url=database.url("postgres"), redis_url=environment["REDIS_URL"], sigilo_home=state,
        **{name: (state / "secrets" / name).read_text() for name in SECRETS},
    )  # fmt: skip
    databases = Databases({each: settings.url_for(each) for each in Principal}, pool_size=2)
    try:
        doctor = make_person(databases, Role.DOCTOR, "Ana Moura", password_hash=hash_password(PASSWORD))
        patient_id = make_patient(databases, settings)
        join_team(databases, patient_id, doctor.id)
        yield doctor, patient_id
    finally:
        databases.dispose()
