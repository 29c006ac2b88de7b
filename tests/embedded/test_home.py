"""SIGILO_HOME: lock, state, sockets and secrets."""

from __future__ import annotations

import base64
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config import Principal
from embedded import home as home_module
from embedded.errors import EmbeddedError, NotRunningError
from embedded.home import Home, fits_a_socket
from embedded.installation import enter_running_installation, installation_environment, refuse_lost_keys
from embedded.secrets import FIELD_KEY, SecretsFolder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_home_is_named_or_lies_in_the_clone(tmp_path: Path) -> None:
    clone = Path(home_module.__file__).resolve().parent.parent
    assert Home.of({"SIGILO_HOME": str(tmp_path)}).path == tmp_path
    assert Home.of({}).path == clone / "var"


def test_home_is_closed_to_others_and_keeps_the_permissions_it_had(tmp_path: Path) -> None:
    made = Home(tmp_path / "made")
    made.create()
    assert mode(made.path) == mode(made.secrets) == 0o700

    given = Home(tmp_path / "given")
    given.path.mkdir(mode=0o750)
    given.create()
    assert mode(given.path) == 0o750


def test_home_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match="set SIGILO_HOME"):
        Home(tmp_path / "file" / "var").create()


def test_lock_is_held_by_one_process_and_released_with_it(own_home: Home) -> None:
    own_home.create()
    code = (
        "import sys; from pathlib import Path; from embedded.home import Home\n"
        f"lock = Home(Path({str(own_home.path)!r})).lock(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(EmbeddedError, match=f"already runs .*process {holder.pid}"):
            own_home.lock()
        assert own_home.is_running()
        holder.kill()
    assert not own_home.is_running()
    own_home.lock().release()
    assert not own_home.is_running()


def test_state_is_read_only_while_somebody_runs(own_home: Home) -> None:
    own_home.create()
    with pytest.raises(NotRunningError, match="start `make run` first"):
        own_home.running_environment()
    lock = own_home.lock()
    with pytest.raises(NotRunningError, match="still starting"):
        own_home.running_environment()
    own_home.write_state({"PORT": "8001"})
    assert mode(own_home.path / "state.json") == 0o600
    assert own_home.running_environment() == {"PORT": "8001"}
    lock.release()
    with pytest.raises(NotRunningError):
        own_home.running_environment()


def test_sockets_lie_in_the_home_when_its_path_is_short_and_plain(tmp_path: Path) -> None:
    home = Home(Path("/tmp") / f"sigilo-test-{os.getpid()}")
    try:
        home.create()
        assert home.sockets() == home.path / "sockets"
        assert mode(home.sockets()) == 0o700
    finally:
        shutil.rmtree(home.path)


@pytest.mark.parametrize("name", ["x" * 90, "Prontuário, da clínica", "it's a %41 @home"])
def test_sockets_of_a_long_or_odd_path_lie_in_a_private_short_folder(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name / "var")
    home.create()
    sockets = home.sockets()
    try:
        assert fits_a_socket(sockets)
        assert not sockets.is_relative_to(tmp_path)
        assert mode(sockets) == 0o700
        assert home.sockets() == sockets
        other = Home(tmp_path / name / "other")
        assert other.sockets() != sockets
        other.leave_sockets()
        (sockets / "in-use").touch()
        home.leave_sockets()
        assert sockets.is_dir()
    finally:
        shutil.rmtree(sockets)


def test_sockets_are_refused_in_a_folder_that_another_account_may_enter(tmp_path: Path) -> None:
    home = Home(tmp_path / ("x" * 90) / "var")
    home.create()
    sockets = home.sockets()
    try:
        sockets.chmod(0o777)
        with pytest.raises(EmbeddedError, match="not a private folder"):
            home.sockets()
        sockets.rmdir()
        sockets.symlink_to(tmp_path)
        with pytest.raises(EmbeddedError, match="not a private folder"):
            home.sockets()
    finally:
        sockets.unlink()


def test_secrets_are_made_once_and_closed_to_others(own_home: Home) -> None:
    own_home.create()
    folder = SecretsFolder(own_home.secrets)
    key = folder.key(FIELD_KEY)
    assert len(base64.b64decode(key, validate=True)) == 32
    assert len(folder.password("redis_password")) >= 43
    passwords = folder.role_passwords()
    assert set(passwords) == {principal.role for principal in Principal}
    assert len(set(passwords.values())) == len(passwords)
    assert {mode(path) for path in own_home.secrets.iterdir()} == {0o600}

    again = SecretsFolder(own_home.secrets)
    assert (again.key(FIELD_KEY), again.role_passwords()) == (key, passwords)


def test_lost_key_of_existing_data_stops_the_start(own_home: Home) -> None:
    own_home.create()
    refuse_lost_keys(own_home)
    (own_home.postgres / "data").mkdir(parents=True)
    with pytest.raises(EmbeddedError, match="restore it from your backup"):
        refuse_lost_keys(own_home)


def test_environment_names_files_and_holds_no_secret(own_home: Home) -> None:
    own_home.create()
    found = installation_environment(own_home, {"FIELD_KEY": "given"}, port=9, postgres=None, redis=None)
    assert found["SIGILO_HOME"] == str(own_home.path)
    assert (found["PORT"], found["SIGILO_ENV"]) == ("9", "development")
    assert "FIELD_KEY_FILE" not in found
    secret = Path(found["SECRET_KEY_FILE"]).read_text().strip()
    assert len(secret) >= 32
    assert secret not in str(found)


def test_former_keys_lie_beside_the_others_while_one_changes(own_home: Home) -> None:
    own_home.create()
    before = installation_environment(own_home, {}, port=9, postgres=None, redis=None)
    (own_home.secrets / "field_key_previous").write_text("a former key")
    after = installation_environment(own_home, {}, port=9, postgres=None, redis=None)
    assert set(after.items()) - set(before.items()) == {
        ("FIELD_KEY_PREVIOUS_FILE", str(own_home.secrets / "field_key_previous"))
    }


def test_other_terminal_gets_what_runs_and_keeps_what_it_brings(own_home: Home) -> None:
    own_home.create()
    home = {"SIGILO_HOME": str(own_home.path)}
    with pytest.raises(NotRunningError):
        enter_running_installation(dict(home))
    servers = home | {"DATABASE_URL": "postgresql://u@/d", "REDIS_URL": "redis://h"}
    enter_running_installation(dict(servers))
    only_database = home | {"DATABASE_URL": "postgresql://u@/d"}
    enter_running_installation(only_database)  # the settings will say what is missing

    lock = own_home.lock()
    state = {"DATABASE_URL_STAFF_FILE": "/s", "REDIS_URL_FILE": "/r", "SECRET_KEY_FILE": "/k", "PORT": "8001"}
    own_home.write_state(state)
    environ = home | {"PORT": "1"}
    enter_running_installation(environ)
    assert environ == home | state | {"PORT": "1"}
    enter_running_installation(only_database)
    assert "DATABASE_URL_STAFF_FILE" not in only_database
    assert only_database["REDIS_URL_FILE"] == "/r"
    enter_running_installation(servers)
    assert set(servers) == {"SIGILO_HOME", "DATABASE_URL", "REDIS_URL", "SECRET_KEY_FILE", "PORT"}
    lock.release()
