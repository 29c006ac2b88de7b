"""deploy/bootstrap, as an operator runs it: what it makes works, is nobody else's, and is never written over."""

from __future__ import annotations

import os
import re
import shutil
import signal
import ssl
import stat
import subprocess
import threading
import time
from pathlib import Path
from socket import create_connection, create_server
from typing import Any

import pyrage
import pytest
import yaml

from config import Principal
from tests.deploy.composed import ADDRESS, ROOT, SMTP_URL, Bootstrapped
from tests.deploy.hosts import NOBODY, public_folder
from tests.observability.alert_rules import programs

PASSWORD = "g4tO_subiu-no-telhado"
ROUNDS = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bootstrapped:
    bootstrapped = Bootstrapped(tmp_path_factory.mktemp("made"))
    bootstrapped.make()
    return bootstrapped


@pytest.fixture
def fresh(tmp_path: Path) -> Bootstrapped:
    return Bootstrapped(tmp_path / "fresh")


def tree(bootstrapped: Bootstrapped) -> dict[str, tuple[int, str]]:
    """Mode and text of every file, modes of folders."""
    found = {str(bootstrapped.env): (bootstrapped.env.stat().st_mode, bootstrapped.env.read_text())}
    for path in bootstrapped.state.rglob("*"):
        found[str(path)] = (path.stat().st_mode, path.read_text() if path.is_file() else "")
    return found


def test_secrets_are_open_to_their_owner_and_to_containers_alone(made: Bootstrapped) -> None:
    assert stat.S_IMODE(made.secrets.stat().st_mode) == 0o700
    group = int(made.variables()["SECRETS_GROUP"])
    for path in made.secrets.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.name == ".made":
            assert mode == 0o600
            continue
        assert mode == (0o750 if path.is_dir() else 0o440), path
        assert path.stat().st_gid == group
    assert stat.S_IMODE((made.state / "recovery.key").stat().st_mode) == 0o600


def test_no_secret_stands_anywhere_else(made: Bootstrapped) -> None:
    values = {path.read_text().strip() for path in made.secrets.iterdir() if path.is_file() and path.name[0] != "."}
    values |= set(re.findall(r"://[^:/]+:([^@]+)@", " ".join(values)))
    elsewhere = made.env.read_text() + "".join(
        path.read_text() for path in made.state.rglob("*") if path.is_file() and made.secrets not in path.parents
    )
    certificate = (made.secrets / "postgres.crt").read_text().strip()
    assert not [value for value in values - {certificate} if value in elsewhere]
    assert PASSWORD in values


def test_again_changes_nothing(made: Bootstrapped) -> None:
    before = tree(made)
    again = made.run("--public-url", "https://another.example.net", smtp_url="")
    assert again.returncode == 0 and "nothing was changed" in again.stdout
    assert tree(made) == before


def test_keys_of_a_store_that_are_lost_are_not_made_anew(fresh: Bootstrapped) -> None:
    """What lies in the folders within too, where the store's other file names them."""
    assert fresh.run("--public-url", ADDRESS, "--object-store").returncode == 0
    (fresh.secrets / "worker" / "s3_secret_access_key").unlink()
    refused = fresh.run("--object-store")
    assert refused.returncode == 1 and "worker/s3_secret_access_key, which it had" in refused.stderr


def test_an_env_that_cannot_be_kept_is_said_before_anything_is_made(fresh: Bootstrapped) -> None:
    fresh.env.parent.mkdir(parents=True, exist_ok=True)
    fresh.env.write_text("COMPOSE_PROFILES=${COLOUR}\n")
    refused = fresh.run("--public-url", ADDRESS)
    assert refused.returncode == 1 and "has to be names with commas between them" in refused.stderr
    assert not fresh.state.exists()


def test_keys_of_somebody_elses_bucket_may_go_again(fresh: Bootstrapped) -> None:
    fresh.make()
    key = fresh.secrets / "worker" / "s3_secret_access_key"
    key.write_text("of a cloud")
    assert fresh.run().returncode == 0
    key.unlink()
    assert fresh.run().returncode == 0


def test_what_is_taken_away_is_not_made_anew(fresh: Bootstrapped) -> None:
    fresh.make()
    (fresh.secrets / "field_key").unlink()
    before = tree(fresh)
    refused = fresh.run()
    assert refused.returncode == 1 and "lacks field_key" in refused.stderr
    assert tree(fresh) == before
    # Said on purpose, it is.
    listed = fresh.secrets / ".made"
    listed.write_text(listed.read_text().replace("field_key\n", ""))
    assert fresh.run().returncode == 0 and (fresh.secrets / "field_key").exists()


def test_half_of_an_installation_is_no_new_one(fresh: Bootstrapped) -> None:
    """A copy without hidden files, or .env alone: new keys would read nothing of the data, and new backups would be
    for a key that nobody has."""
    fresh.make()
    shutil.move(fresh.state / "recovery.key", fresh.state.parent / "notebook")
    for lost, said in ((fresh.secrets / ".made", "put the folder back whole"), (fresh.env, "put it back, or give")):
        kept = lost.read_bytes()
        lost.unlink()
        before = {path: path.read_bytes() for path in fresh.state.rglob("*") if path.is_file()}
        refused = fresh.run("--public-url", ADDRESS)
        assert refused.returncode == 1 and said in refused.stderr
        assert {path: path.read_bytes() for path in fresh.state.rglob("*") if path.is_file()} == before
        assert not lost.exists()
        lost.write_bytes(kept)
    assert fresh.run().returncode == 0


def test_what_an_operator_changed_stays(fresh: Bootstrapped) -> None:
    fresh.make()
    alerts = fresh.state / "alertmanager" / "alertmanager.yml"
    alerts.write_text("route: {receiver: pager}\nreceivers: [{name: pager}]\n")
    fresh.env.write_text(fresh.env.read_text().replace("SIGILO_TLS='sigilo@clinica.br'", "SIGILO_TLS=internal"))
    fresh.env.write_text(fresh.env.read_text() + "CLINIC_NAME=Boa Vista\n")

    def own() -> dict[str, tuple[int, str]]:
        """But for what follows from who gives the certificate."""
        return {path: each for path, each in tree(fresh).items() if not path.endswith("public.yml")}

    changed = own()
    assert fresh.run().returncode == 0
    assert own() == changed


@pytest.mark.parametrize(
    ("arguments", "smtp_url", "said"),
    [
        (["--public-url", "http://sigilo.clinica.br"], SMTP_URL, "PUBLIC_URL is https://"),
        (["--public-url", "https://sigilo.clinica.br:8443"], SMTP_URL, "PUBLIC_URL is https://"),
        (["--public-url", "https://sigilo.clinica.br/sigilo"], SMTP_URL, "PUBLIC_URL is https://"),
        ([], SMTP_URL, "PUBLIC_URL is not known"),
        (["--public-url", ADDRESS], "", "SMTP_URL is not known"),
        (["--public-url", ADDRESS], "mail.clinica.br", "SMTP_URL is written"),
        (["--public-url", ADDRESS, "--alerts-to", "plantao"], SMTP_URL, "--alerts-to"),
        (["--public-url", ADDRESS, "--recipient", "AGE-SECRET-KEY-1"], SMTP_URL, "--recipient"),
        (["--public-url", ADDRESS, "--watchdog-url", "http://w"], SMTP_URL, "--watchdog-url"),
    ],
)
def test_bad_input_changes_nothing_and_is_told_in_a_line(
    fresh: Bootstrapped, arguments: list[str], smtp_url: str, said: str
) -> None:
    refused = fresh.run(*arguments, smtp_url=smtp_url)
    assert refused.returncode == 1
    assert said in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert not fresh.state.exists() and not fresh.env.exists()


def test_killed_at_any_moment_it_goes_on_and_each_file_is_whole(tmp_path: Path) -> None:
    started = time.monotonic()
    Bootstrapped(tmp_path / "timed").make()
    whole = time.monotonic() - started
    for number in range(ROUNDS):
        fresh = Bootstrapped(tmp_path / str(number))
        command = [*fresh.command(ROOT / "deploy" / "bootstrap"), "--public-url", ADDRESS]
        environment = {"PATH": os.environ["PATH"], "SMTP_URL": SMTP_URL}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with_time = whole * (0.3 + 0.7 * number / ROUNDS)
        try:
            process.wait(with_time)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        had = {path.name: path.read_text() for path in fresh.secrets.glob("[a-z]*") if path.is_file()}
        assert all(had.values()), "what is there is whole"
        fresh.make()
        for name, text in had.items():
            assert (fresh.secrets / name).read_text() == text, f"{name} was there and is another now"
        _accounts_fit(fresh)


def _accounts_fit(bootstrapped: Bootstrapped) -> None:
    """What several files have to agree on."""
    url = (bootstrapped.secrets / "database_url_superuser").read_text()
    assert f":{(bootstrapped.secrets / 'postgres_password').read_text().strip()}@" in url
    key = subprocess.run(
        ["openssl", "pkey", "-in", bootstrapped.secrets / "postgres.key", "-pubout"], capture_output=True, check=True
    ).stdout
    certificate = subprocess.run(
        ["openssl", "x509", "-in", bootstrapped.secrets / "postgres.crt", "-noout", "-pubkey"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert key == certificate
    recipient = bootstrapped.variables()["BACKUP_AGE_RECIPIENT"]
    assert recipient in (bootstrapped.state / "recovery.key").read_text()


def test_as_an_ordinary_user(made: Bootstrapped) -> None:
    """Who may give files to no account but their own: containers come in by that account's group."""
    with public_folder() as folder:
        mine = Bootstrapped(folder / "mine")
        if os.geteuid() == 0:
            (folder / "mine").mkdir()
            os.chown(folder / "mine", NOBODY, NOBODY)
            # The copy may lie where nobody else comes in.
            shutil.copytree(ROOT / "deploy", folder / "deploy")
            shutil.copytree(ROOT / "observability" / "alertmanager", folder / "observability" / "alertmanager")
            shutil.copy(ROOT / "config_urls.py", folder)
            command = mine.command(folder / "deploy" / "bootstrap")
            environment = {"PATH": "/usr/bin:/bin", "SMTP_URL": SMTP_URL}
            done = subprocess.run(
                [*command, "--public-url", ADDRESS], env=environment, user=NOBODY, group=NOBODY, extra_groups=[],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert mine.variables()["SECRETS_GROUP"] == str(NOBODY)
            assert {path.stat().st_uid for path in mine.secrets.iterdir()} == {NOBODY}
        else:
            mine.make()
            assert mine.variables()["SECRETS_GROUP"] == str(os.getegid())
        assert {path.name for path in mine.secrets.iterdir()} == {path.name for path in made.secrets.iterdir()}


def test_the_recovery_key_opens_what_is_encrypted_to_its_recipient(made: Bootstrapped) -> None:
    recipient = pyrage.x25519.Recipient.from_str(made.variables()["BACKUP_AGE_RECIPIENT"])
    identity = pyrage.x25519.Identity.from_str((made.state / "recovery.key").read_text().split()[-1])
    assert pyrage.decrypt(pyrage.encrypt(b"prontuario", [recipient]), [identity]) == b"prontuario"
    assert "recovery.key opens every backup" in made.run().stderr


def test_a_recovery_key_of_another_machine_never_comes_here(fresh: Bootstrapped) -> None:
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    assert fresh.run("--public-url", ADDRESS, "--recipient", recipient).returncode == 0
    assert fresh.variables()["BACKUP_AGE_RECIPIENT"] == recipient
    assert not (fresh.state / "recovery.key").exists()


@pytest.mark.parametrize(("file", "host"), [("postgres", "postgres"), ("postgres_drills", "postgres-drills")])
def test_a_databases_certificate_is_believed_for_its_name_alone(made: Bootstrapped, file: str, host: str) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.secrets / f"{file}.crt", made.secrets / f"{file}.key")
    client = ssl.create_default_context(cafile=str(made.secrets / f"{file}.crt"))
    with create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    try:
                        server.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        continue

        threading.Thread(target=answer, daemon=True).start()
        address: Any = listening.getsockname()
        with create_connection(address, 5) as plain, client.wrap_socket(plain, server_hostname=host) as wrapped:
            assert wrapped.version() in ("TLSv1.2", "TLSv1.3")
        with create_connection(address, 5) as plain, pytest.raises(ssl.SSLCertVerificationError):
            client.wrap_socket(plain, server_hostname="another")


def test_alertmanager_takes_its_file_and_nobodys_address_is_left_in_it(made: Bootstrapped, tmp_path: Path) -> None:
    text = (made.state / "alertmanager" / "alertmanager.yml").read_text()
    assert "example.org" not in text and "sigilo@clinica.br" in text
    assert (made.secrets / "smtp_password").read_text().strip() == PASSWORD
    shutil.copytree(ROOT / "observability" / "alertmanager", tmp_path / "alertmanager")
    for name, given in (
        ("as_made", text),
        ("watched", _alerts(tmp_path / "watched", "--watchdog-url", "https://watchdog.clinica.br/x")),
        ("open", _alerts(tmp_path / "open", smtp_url="smtps://mail.clinica.br?from=s@clinica.br")),
    ):
        path = tmp_path / "alertmanager" / f"{name}.yml"
        path.write_text(given)
        subprocess.run([programs() / "amtool", "check-config", path], check=True, capture_output=True)
    assert "watchdog.clinica.br" in (tmp_path / "alertmanager" / "watched.yml").read_text()
    assert "webhook" not in text
    assert "smtp_auth" not in (tmp_path / "alertmanager" / "open.yml").read_text()
    [target] = yaml.safe_load((made.state / "prometheus" / "public.yml").read_text())
    assert target == {"targets": [f"{ADDRESS}/readyz"]}


def _alerts(folder: Path, *arguments: str, smtp_url: str = SMTP_URL) -> str:
    bootstrapped = Bootstrapped(folder)
    assert bootstrapped.run("--public-url", ADDRESS, *arguments, smtp_url=smtp_url).returncode == 0
    return (bootstrapped.state / "alertmanager" / "alertmanager.yml").read_text()


def test_who_gives_the_proxys_certificate_follows_from_the_name(made: Bootstrapped, fresh: Bootstrapped) -> None:
    assert made.variables()["SIGILO_TLS"] == "sigilo@clinica.br", "whom Let's Encrypt writes to"
    assert fresh.run("--public-url", "https://sigilo.internal").returncode == 0
    assert fresh.variables()["SIGILO_TLS"] == "internal", "no authority gives one for that name"
    [target] = yaml.safe_load((fresh.state / "prometheus" / "public.yml").read_text())
    asked_by = target["labels"]["__param_module"]
    modules = yaml.safe_load((ROOT / "observability" / "blackbox" / "blackbox.yml").read_text())["modules"]
    assert modules[asked_by]["http"]["tls_config"] == {"insecure_skip_verify": True}, "which Prometheus does not know"
    assert "tls_config" not in modules["readyz"]["http"]
    assert target["labels"]["renewed"] == "hourly", "and which no alert expects to live for weeks"
    # Later there is a name that the world knows; and what the operator wrote stays.
    fresh.env.write_text(fresh.env.read_text().replace("SIGILO_TLS='internal'", "SIGILO_TLS='ana@clinica.br'"))
    public = fresh.state / "prometheus" / "public.yml"
    given = public.stat().st_ino  # to a running Prometheus, by itself
    assert fresh.run().returncode == 0
    assert public.stat().st_ino == given
    assert yaml.safe_load(public.read_text()) == [{"targets": ["https://sigilo.internal/readyz"]}]
    public.write_text(own := "- targets: ['https://elsewhere/readyz']\n")
    assert fresh.run().returncode == 0
    assert public.read_text() == own


@pytest.mark.parametrize(
    ("said", "state", "then"),
    [
        ("", None, "blue"),
        ("", "green", "green"),
        ("COMPOSE_PROFILES='ops,ai'\n", "blue-then-green", "blue,ops,ai"),
        # The proxy's file is right: .env may be of before a switch.
        ("COMPOSE_PROFILES=green,ops\n", "blue", "blue,ops"),
        ("COMPOSE_PROFILES=green,ops\n", None, "green,ops"),
        ("COMPOSE_PROFILES=\n", None, "blue"),
    ],
)
def test_compose_brings_up_the_colour_that_serves(
    fresh: Bootstrapped, said: str, state: str | None, then: str
) -> None:
    fresh.make()
    other_lines = [line for line in fresh.env.read_text().splitlines() if "COMPOSE_PROFILES" not in line]
    fresh.env.write_text("\n".join(other_lines) + "\n" + said)
    if state is not None:
        (fresh.state / "caddy" / state).touch()
    assert fresh.run().returncode == 0
    assert fresh.variables()["COMPOSE_PROFILES"] == then
    assert [line for line in fresh.env.read_text().splitlines() if "COMPOSE_PROFILES" not in line] == other_lines


def test_it_knows_the_roles_that_there_are(made: Bootstrapped) -> None:
    logins = {
        re.sub(r"^postgresql://([^:]+):.*$", r"\1", path.read_text().strip())
        for path in made.secrets.glob("database_url*")
    }
    assert logins == {"postgres", *(principal.role for principal in Principal)}
