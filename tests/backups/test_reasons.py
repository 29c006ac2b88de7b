"""Why a backup or its drill failed is said on its page in the reader's language, whatever went wrong."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyrage
import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from backups import job
from backups.drill import run_drill
from backups.errors import BackupFailed
from backups.job import Connection
from config import Principal, Settings
from models import Role
from models.engine import Databases
from services.audit_event import SYSTEM
from services.field_encryption import field_cipher
from services.user_create import create_user
from tests.backups.conftest import back_up, silent
from tests.backups.test_faults import small
from tests.conftest import test_key as key_of
from tests.integrations.fake_s3 import FakeS3
from tests.servers import DatabaseServer
from tests.web.conftest import Browser, Login
from web.app import make_app

LOGIN = Login("motivos@example.org")


@dataclass(frozen=True)
class Place:
    """Where a backup is to fail: ``far`` keeps it in ``bucket``."""

    here: Settings
    far: Settings
    bucket: FakeS3
    connection: Connection
    patch: pytest.MonkeyPatch
    folder: Path


@pytest.fixture
def place(
    here: Settings, far: Settings, bucket: FakeS3, connection: Connection, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Place:  # fmt: skip
    return Place(here, far, bucket, connection, monkeypatch, tmp_path)


@pytest.fixture
def admin(here: Settings, clinic: str, server: DatabaseServer) -> Iterator[Browser]:
    """A browser in Portuguese over the clinic's database."""
    databases = Databases(server.urls(clinic), pool_size=2)
    with databases.session(Principal.STAFF) as session:
        create_user(
            session, SYSTEM, field_cipher(here), email=LOGIN.email, full_name="Ana Moura", roles=[Role.ADMIN],
            password=LOGIN.password,
        )  # fmt: skip
    app = make_app(here, databases)
    browser = Browser(app)
    assert browser.sign_in(LOGIN).status_code == 303
    yield browser
    app.extensions["sigilo"].close()
    databases.dispose()


def fails(settings: Settings, connection: Connection) -> None:
    with pytest.raises(BackupFailed):
        back_up(settings, connection)


def no_space(place: Place) -> None:
    with small(place.here.sigilo_home / "backups"):
        fails(place.here, place.connection)


def wrong_credentials_of_the_store(place: Place) -> None:
    place.bucket.answers = (403, {}, "<Error><Code>InvalidAccessKeyId</Code></Error>")
    fails(place.far, place.connection)


def wrong_credentials_of_the_database(place: Place) -> None:
    url = place.here.url_for(Principal.BACKUP).replace("sigilo_backup", "nobody")
    fails(place.here.model_copy(update={"database_url_backup": type(place.here.redis_url)(url)}), place.connection)


def a_wrong_clock(place: Place) -> None:
    with place.patch.context() as patch:
        patch.setattr(time, "time", lambda: time.clock_gettime(time.CLOCK_REALTIME) + 3600)
        fails(place.here, place.connection)


def a_run_that_takes_too_long(place: Place) -> None:
    def slow(*_: object) -> None:
        raise SoftTimeLimitExceeded

    with place.patch.context() as patch:
        patch.setattr("backups.create.programs_of", slow)
        fails(place.here, place.connection)


def no_room_for_the_drill(place: Place) -> None:
    manifest = back_up(place.here, place.connection)
    with pytest.raises(BackupFailed):
        run_drill(
            place.here.model_copy(update={"drill_room_mib": 1}), place.connection, manifest.id, silent
        )  # fmt: skip


def no_recovery_key(place: Place) -> None:
    without = place.here.model_copy(update={"backup_age_recipient": "", "sigilo_env": "production"})
    fails(without, place.connection)


def a_folder_that_keeps_no_drill_key(place: Place) -> None:
    (place.folder / "file").write_text("no folder")
    fails(place.here.model_copy(update={"drill_keys": str(place.folder / "file")}), place.connection)


def interrupted(place: Place) -> None:
    job.request(place.connection, "AGAIN")
    assert job.claim(place.connection, place.here.backup_store)
    job.bury_dead(place.connection)


def a_program_that_fails(place: Place) -> None:
    real = Path(place.here.postgres_programs) / "pg_dump"
    stub = place.folder / "pg_dump"
    refused = "echo 'pg_dump: error: permission denied for table patients' >&2; exit 1"
    stub.write_text(f'#!/bin/sh\ncase "$*" in *--version*) exec {real} --version;; esac\n{refused}\n')
    stub.chmod(0o755)
    fails(place.here.model_copy(update={"postgres_programs": str(place.folder)}), place.connection)


def a_damaged_part(place: Place) -> None:
    manifest = back_up(place.here, place.connection)
    path = place.here.sigilo_home / "backups" / manifest.database.name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BackupFailed):
        run_drill(place.here, place.connection, manifest.id, silent)


def a_missing_part(place: Place) -> None:
    manifest = back_up(place.here, place.connection)
    (place.here.sigilo_home / "backups" / manifest.database.name).unlink()
    with pytest.raises(BackupFailed):
        run_drill(place.here, place.connection, manifest.id, silent)


def another_key(place: Place) -> None:
    manifest = back_up(place.here, place.connection)
    with pytest.raises(BackupFailed):
        run_drill(
            place.here, place.connection, manifest.id, silent, identity=str(pyrage.x25519.Identity.generate())
        )  # fmt: skip


def another_signature(place: Place) -> None:
    manifest = back_up(place.here, place.connection)
    other = place.here.model_copy(update={"audit_signing_key": type(place.here.redis_url)(key_of("another"))})
    with pytest.raises(BackupFailed):
        run_drill(other, place.connection, manifest.id, silent)


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        (no_space, "falhou: não há mais espaço (ENOSPC).|falhou: arquivo grande demais (EFBIG)."),  # as ``small`` can
        (wrong_credentials_of_the_store, "O armazenamento falhou: respondeu 403."),
        (wrong_credentials_of_the_database, "Não foi possível acessar o banco de dados, ou ele encerrou a conexão."),
        (a_wrong_clock, "O relógio desta máquina e o do banco de dados diferem em 3600 s: acerte-os."),
        (a_run_that_takes_too_long, "Demorou mais do que uma execução pode (BACKUP_RUN_MINUTES) e foi encerrado"),
        (no_room_for_the_drill, "MiB, e DRILL_ROOM_MIB dá 1: dê mais aos testes."),
        (no_recovery_key, "BACKUP_AGE_RECIPIENT não está definido: faça uma chave em outra máquina"),
        (a_folder_that_keeps_no_drill_key, "Não foi possível guardar a chave de teste ("),
        (interrupted, "O processo foi interrompido ou encerrado, e o que tinha gravado foi removido."),
        (a_program_that_fails, "pg_dump terminou com 1: este login não pode ler ou gravar tudo."),
        (a_damaged_part, ".database.zst.age está danificada: não é o que foi gravado."),
        (a_missing_part, ".database.zst.age: o arquivo ou a pasta não existe (ENOENT)."),
        (another_key, "A chave não abre este backup: ele foi cifrado para age1"),
        (another_signature, "O manifesto não foi assinado por uma chave em que esta instalação confia"),
    ],
)
def test_the_reason_is_said_in_portuguese(
    place: Place, admin: Browser, failure: Callable[[Place], None], shown: str
) -> None:
    failure(place)
    row = place.connection.execute(
        "SELECT b.id, coalesce(b.failure, d.failure) FROM backups b LEFT JOIN backup_drills d ON d.backup_id = b.id"
    ).fetchone()
    assert row is not None
    for path in ("/backups", f"/backups/{row[0]}"):
        page = html.unescape(admin.get(path).get_data(as_text=True))
        assert any(each in page for each in shown.split("|"))
        assert row[1] not in page, "nor in English"
