"""deploy/host, as an operator runs it: it says what is so, shuts what is to be shut, and locks nobody out."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.composed import ROOT
from tests.deploy.hosts import Host, network, public_folder
from tests.deploy.packets import CONTAINER, OUTSIDER, SERVER, places, publish

IS_ROOT = os.geteuid() == 0
ALL = {
    "firewall", "firewall-at-start", "published-ports", "ssh-files", "ssh-passwords", "ssh-root", "ssh-keys",
}  # fmt: skip


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """Debian's nft and sshd, where any account runs them."""
    found = subprocess.run(
        [ROOT / "scripts" / "install-host-programs"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    with public_folder() as folder:
        shutil.copytree(Path(found).parent, folder / "unpacked", symlinks=True)
        yield folder / "unpacked" / "programs"


@pytest.fixture
def apart() -> Iterator[list[str]]:
    with network() as command:
        yield command


@pytest.fixture
def host(programs: Path, apart: list[str]) -> Iterator[Host]:
    with public_folder() as folder:
        yield Host(folder, programs, apart)


@pytest.fixture
def filters(host: Host) -> bool:
    """Whether this machine's kernel takes rules from here: in some containers it takes none."""
    taken = host.nft("add", "table", "inet", "trial").returncode == 0
    host.nft("delete", "table", "inet", "trial")
    return taken


def test_without_apply_nothing_changes_and_all_is_said(host: Host) -> None:
    before = host.files()
    shown, checked = host.run(), host.run("--check")
    assert host.files() == before
    assert shown.returncode == 0 and "tcp dport { 22 } accept" in shown.stdout
    assert "PasswordAuthentication no" in shown.stdout and "no administrator has a key" in shown.stdout
    assert checked.returncode == 1
    found = host.findings()
    assert found.keys() == ALL
    assert found["ssh-passwords"] == found["firewall-at-start"] == found["ssh-keys"] == "bad"
    assert found["ssh-files"] == found["published-ports"] == "ok"
    changing = [call for call in host.calls("systemctl") if not call.startswith(("is-enabled", "is-active", "show"))]
    assert changing == host.calls("systemd-run") == []


def test_what_cannot_be_asked_is_unknown_and_not_well(host: Host) -> None:
    for name in ("nft", "sshd", "docker"):
        (host.bin / name).write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 1\n")
    found = host.findings()
    assert {name for name, state in found.items() if state == "unknown"} >= {"firewall", "published-ports", "ssh-keys"}
    assert host.run("--check").returncode == 1


def test_a_port_that_docker_publishes_to_the_world_is_named(host: Host) -> None:
    published = ("web 0.0.0.0:443->443/tcp", "own 127.0.0.1:9090->9090/tcp", "db [::]:5432->5432/tcp")
    (host.bin / "published").write_text("\n".join(published) + "\n")
    checked = host.run("--check")
    assert "bad published-ports: published to the world: db [::]:5432\n" in checked.stdout


def test_a_match_block_that_lets_one_account_in_by_password_is_named(host: Host) -> None:
    shut = "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    host.write("etc/ssh/sshd_config.d/10-own.conf", shut)
    assert host.findings()["ssh-passwords"] == "ok"
    host.write("etc/ssh/sshd_config.d/10-own.conf", f"{shut}Match User ana\nPasswordAuthentication yes\n")
    assert host.findings()["ssh-passwords"] == "bad"
    assert "but a Match block lets in by password: ana" in host.run("--check").stdout


def test_nobody_is_locked_out_who_has_no_key(host: Host) -> None:
    before = host.files()
    refused = host.run("--apply")
    assert refused.returncode == 1 and "no administrator has a key" in refused.stderr
    host.write("home/www/.ssh/authorized_keys", "ssh-ed25519 AAAAC3 www")  # who may not log in
    assert host.run("--apply").returncode == 1
    host.give_key("root")
    refused = host.run("--apply", SUDO_USER="ana")
    assert "you came in as ana, who has no key" in refused.stderr
    assert {name: text for name, text in host.files().items() if name in before} == before
    assert host.calls("systemd-run") == []


def test_only_root_may(host: Host) -> None:
    host.give_key()
    refused = host.run("--apply")
    assert ("only root may do this" in refused.stderr) == (not IS_ROOT)


def test_files_that_sshd_does_not_take_are_taken_away_again(host: Host, filters: bool) -> None:
    host.give_key()
    host.write("etc/ssh/sshd_config.d/90-hand.conf", "PasswordAuthentication maybe\n")
    refused = host.run("--apply")
    assert refused.returncode == 1 and "maybe" in refused.stderr
    host.write("etc/ssh/sshd_config.d/90-hand.conf", "")
    # sshd reads no folder of additions: what is said there would not hold.
    own = (host.root / "etc/ssh/sshd_config").read_text()
    host.write("etc/ssh/sshd_config", own.replace("Include", "# Include"))
    refused = host.run("--apply")
    assert refused.returncode == 1
    if IS_ROOT and filters:
        assert "sshd reads no sshd_config.d" in refused.stderr
    assert not (host.root / "etc/ssh/sshd_config.d/00-sigilo.conf").exists()
    assert not (host.root / "etc/sigilo/firewall.nft").exists()
    assert host.nft("list", "table", "inet", "sigilo").returncode != 0


def test_without_a_timer_to_take_it_back_nothing_is_done(host: Host) -> None:
    host.give_key()
    (host.bin / "no-timer").touch()
    refused = host.run("--apply")
    assert refused.returncode == 1
    assert not (host.root / "etc/ssh/sshd_config.d/00-sigilo.conf").exists()
    assert host.nft("list", "table", "inet", "sigilo").returncode != 0


def test_applied_confirmed_and_taken_back(host: Host, filters: bool) -> None:
    host.give_key()
    first = host.files()
    applied = host.run("--apply")
    if not (IS_ROOT and filters):
        assert applied.returncode == 1 and host.files() == first, "what the kernel refuses changes nothing"
        return
    assert applied.returncode == 0, applied.stderr
    [timer] = host.calls("systemd-run")
    assert "--on-active=120" in timer and timer.endswith("deploy/host --undo")
    found = host.findings()
    assert {name for name, state in found.items() if state != "ok"} == {"firewall-at-start"}

    confirmed = host.run("--confirm")
    assert confirmed.returncode == 0, confirmed.stderr
    assert set(host.findings().values()) == {"ok"} and host.run("--check").returncode == 0
    kept = host.files()

    # Again, for a file that changed: what was confirmed comes back by itself.
    assert host.run("--apply").returncode == 0
    assert host.run("--undo").returncode == 0
    assert host.files() == kept and set(host.findings().values()) == {"ok"}

    for _ in range(2):
        assert host.run("--undo").returncode == 0
        assert host.files() == first
        assert host.nft("list", "table", "inet", "sigilo").returncode != 0
    assert host.run("--confirm").returncode == 1


def test_ssh_stays_open_where_it_is(programs: Path, apart: list[str]) -> None:
    with public_folder() as folder:
        host = Host(folder, programs, apart, port=2222)
        assert "tcp dport { 2222 } accept" in host.run().stdout
        shown = host.run(SSH_CONNECTION="203.0.113.7 51000 198.51.100.2 2200").stdout
        assert "tcp dport { 2200, 2222 } accept" in shown, "by which whoever says this came in"
        shown = host.run_by_sudo(SSH_CONNECTION="203.0.113.7 51000 198.51.100.2 2200").stdout
        assert "tcp dport { 2200, 2222 } accept" in shown, "which sudo does not hand on"
        (host.bin / "socket").write_text("0.0.0.0:2022 (Stream)\n[::]:2022 (Stream)\n")
        assert "tcp dport { 2022, 2222 } accept" in host.run().stdout, "systemd listens, and sshd's files say nothing"


def test_it_is_confirmed_by_whoever_came_in_anew(host: Host, filters: bool) -> None:
    """The session that applied it goes on whatever the rules say, so it shows nothing."""
    if not (IS_ROOT and filters):
        return  # nothing can be applied, as test_applied_confirmed_and_taken_back shows
    host.give_key()
    first = host.files()
    assert host.run_by_sudo("--apply", SSH_CONNECTION="203.0.113.7 51000 198.51.100.2 22").returncode == 0
    refused = host.run_by_sudo("--confirm", SSH_CONNECTION="203.0.113.7 51000 198.51.100.2 22")
    assert refused.returncode == 1 and "open a NEW one" in refused.stderr
    assert host.findings()["firewall-at-start"] == "bad", "not kept"
    confirmed = host.run_by_sudo("--confirm", SSH_CONNECTION="203.0.113.7 51444 198.51.100.2 22")
    assert confirmed.returncode == 0, confirmed.stderr
    assert set(host.findings().values()) == {"ok"}
    assert host.run("--undo").returncode == 0
    assert host.files() == first


def test_nft_takes_the_file_and_would_refuse_a_broken_one(host: Host, filters: bool, tmp_path: Path) -> None:
    text = (ROOT / "deploy/server/firewall.nft").read_text().replace("{ {ssh_ports} }", "{ 22 }")
    good, broken = tmp_path / "good.nft", tmp_path / "broken.nft"
    good.write_text(text)
    broken.write_text(text.replace("policy drop", "policy dorp"))
    taken = host.nft("--check", "--file", str(good))
    assert taken.returncode == 0 if filters else "syntax error" not in taken.stderr
    assert "syntax error" in host.nft("--check", "--file", str(broken)).stderr


def test_what_comes_in_is_ssh_and_the_proxy_and_nothing_that_docker_publishes_by_mistake(
    programs: Path, filters: bool
) -> None:
    if not (IS_ROOT and filters and shutil.which("ip")):
        return  # where one network is not to be had, three are not: the file was tried above
    nft = programs / "nft"
    with places() as (server, outsider, container):
        publish(server, nft, 443, 5432, 6379)
        with server.listening(22, 80, 5433), container.listening(443, 5432, 6379), outsider.listening(25):
            without = [(SERVER, 5433), (SERVER, 5432), (CONTAINER, 5432)]
            assert all(outsider.reaches(*each) for each in without), "open without a firewall"
            text = (ROOT / "deploy/server/firewall.nft").read_text().replace("{ {ssh_ports} }", "{ 22 }")
            for _ in range(2):  # twice is once
                server.run(nft, "--file", "-", given=text)
            assert all(outsider.reaches(SERVER, port) for port in (22, 80, 443))
            assert not any(outsider.reaches(SERVER, port, within=0.3) for port in (5433, 5432, 6379))
            assert not outsider.reaches(CONTAINER, 5432, within=0.3), "nor by a route of one's own"
            assert container.reaches(OUTSIDER, 25), "mail goes out"
            assert server.reaches(CONTAINER, 5432) and server.reaches(SERVER, 5433), "the machine itself reaches all"
