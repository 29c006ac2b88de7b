"""Shut the machine but for SSH, 80 and 443, and SSH but for keys.

    deploy/host              # what it would do; changes nothing
    deploy/host --check      # what is so: lines "ok|bad|unknown NAME: EVIDENCE"; exit code 0 only where all is well
    deploy/host --apply      # do it, for two minutes
    deploy/host --confirm    # … and keep it: said from a NEW session, which shows that one still comes in
    deploy/host --undo       # take it back: by itself after two minutes without --confirm, or at any time

As root, on Debian 12 or Ubuntu 22.04 and newer with systemd. Nobody is locked out: ports of SSH are those that sshd
listens at, or systemd for it, sshd's files are tried before it reads them, nothing is done while no administrator has a
key, and what was not confirmed is taken back; such a firewall is gone after a restart of the machine, too. Docker's
rules are left alone (deploy/server/firewall.nft says how published ports are shut all the same). What is done lies in
/etc/sigilo, /etc/ssh/sshd_config.d and /etc/systemd/system.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from installing.files import InstallError, replace
from installing.host_checks import Finding, examine
from installing.machine import Machine, ssh_connection

SERVER = Path(__file__).resolve().parent.parent / "server"
SCRIPT = SERVER.parent / "host"
FIREWALL, UNIT = "/etc/sigilo/firewall.nft", "/etc/systemd/system/sigilo-firewall.service"
SSHD = "/etc/ssh/sshd_config.d/00-sigilo.conf"  # before whatever an image of a cloud brings
APPLIED_BY = "/etc/sigilo/applied-by"  # the connection of whoever said --apply, until it is confirmed
TIMER = "sigilo-host-undo"
UNDO_SECONDS = 120
BEFORE = ".before"  # beside a file: what it was before --apply, until that is confirmed


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="deploy/host", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="say what is so")
    what.add_argument("--apply", action="store_true", help="do it, for two minutes")
    what.add_argument("--confirm", action="store_true", help="keep it")
    what.add_argument("--undo", action="store_true", help="take it back")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where the machine's files are, instead of /")
    given = parser.parse_args()
    machine = Machine(given.root)
    try:
        if given.check:
            sys.exit(not report(examine(machine)))
        elif given.apply:
            apply(machine)
        elif given.confirm:
            confirm(machine)
        elif given.undo:
            undo(machine)
        else:
            show(machine)
    except InstallError as error:
        sys.exit(f"deploy/host: {error}")
    except OSError as error:
        sys.exit(f"deploy/host: {error.filename or 'the system'}: {error.strerror}")


def report(findings: list[Finding]) -> bool:
    """One line for each. Gives whether all is well."""
    for each in findings:
        print(each)
    return all(each.state == "ok" for each in findings)


def show(machine: Machine) -> None:
    """What is so, what would be put where, and what stands in the way."""
    report(examine(machine))
    print()
    for name, text in files(machine).items():
        path = machine.path(name)
        state = "as it is" if path.exists() and path.read_text() == text else "anew" if path.exists() else "new"
        print(f"# {path} ({state})\n{text}")
    obstacles = what_stands_in_the_way(machine)
    for each in obstacles:
        print(f"In the way: {each}")
    if not obstacles:
        print("Nothing was changed. `deploy/host --apply` does this, for two minutes; see --help.")


def files(machine: Machine) -> dict[str, str]:
    """What is put into place, by path."""
    ports = ", ".join(ssh_ports(machine))
    return {
        FIREWALL: (SERVER / "firewall.nft").read_text().replace("{ {ssh_ports} }", f"{{ {ports} }}"),
        UNIT: (SERVER / "sigilo-firewall.service").read_text(),
        SSHD: (SERVER / "sshd.conf").read_text(),
    }


def ssh_ports(machine: Machine) -> list[str]:
    settings = machine.sshd() or {}
    ports = set(settings.get("port", ["22"]))
    ports.update(address.rpartition(":")[2] for address in settings.get("listenaddress", []))
    ports.update(machine.socket_ports())
    ports.update(ssh_connection().split()[3:])  # by which whoever says this came in
    return sorted(port for port in ports if port.isdigit())


def what_stands_in_the_way(machine: Machine) -> list[str]:
    """Why --apply would be refused, each with what to do."""
    found = []
    if os.geteuid() != 0:
        found.append("only root may do this: sudo deploy/host --apply")
    for program, package in (("nft", "nftables"), ("sshd", "openssh-server"), ("systemctl", "systemd")):
        if not machine.has(program):
            found.append(f"{program} is missing: apt-get install --yes {package}")
    settings = machine.sshd()
    if settings is None:
        found.append(f"sshd does not say at which ports it listens: {machine.check_sshd() or 'ask sshd -T'}")
    else:
        accounts = machine.accounts(" ".join(settings.get("authorizedkeysfile", [".ssh/authorized_keys"])).split())
        if not any(each.is_administrator and each.keys for each in accounts):
            found.append(
                "no administrator has a key, and you would lock yourself out: ssh-copy-id YOU@this-machine, from yours"
            )
        invoker = os.environ.get("SUDO_USER")
        if invoker and invoker != "root" and not any(each.name == invoker and each.keys for each in accounts):
            found.append(f"you came in as {invoker}, who has no key: ssh-copy-id {invoker}@this-machine, from yours")
    return found


def apply(machine: Machine) -> None:
    """Put it in place, and have it taken back unless it is confirmed. Raises InstallError, all being as before."""
    obstacles = what_stands_in_the_way(machine)
    if obstacles:
        raise InstallError("; ".join(obstacles))
    wanted = files(machine)
    check_firewall(machine, wanted[FIREWALL])
    machine.run("systemctl", "stop", f"{TIMER}.timer")  # of an earlier --apply
    machine.must(
        "systemd-run", f"--on-active={UNDO_SECONDS}", f"--unit={TIMER}", "--collect", sys.executable, SCRIPT, "--undo"
    )
    try:
        keep_before(machine)
        put(machine, APPLIED_BY, ssh_connection())
        put(machine, FIREWALL, wanted[FIREWALL])
        put_sshd(machine, wanted[SSHD])
        machine.must("nft", "-f", machine.path(FIREWALL))
        reload_ssh(machine)
    except (InstallError, OSError):
        undo(machine)
        raise
    print(
        f"Done, for {UNDO_SECONDS} s. Open a NEW session now, and say there: {SCRIPT} --confirm\n"
        "If none comes in, wait: all of it is taken back."
    )


def confirm(machine: Machine) -> None:
    """Keep it over a restart. Raises InstallError where nothing was applied, or it was taken back already."""
    if machine.run("nft", "list", "table", "inet", "sigilo").code != 0 or not machine.path(SSHD).exists():
        raise InstallError("there is nothing to confirm: it was taken back, or never done. deploy/host --apply")
    applied_by, here = machine.path(APPLIED_BY), ssh_connection()
    if here and applied_by.exists() and applied_by.read_text() == here:
        raise InstallError(
            "this is the session that said --apply, which stays open whatever the rules say: open a NEW one, not within"
            " tmux or screen, and say it there"
        )
    put(machine, UNIT, files(machine)[UNIT])
    machine.must("systemctl", "daemon-reload")
    machine.must("systemctl", "enable", "sigilo-firewall.service")
    machine.must("systemctl", "stop", f"{TIMER}.timer")
    for name in (FIREWALL, SSHD):
        before(machine, name).unlink(missing_ok=True)
    applied_by.unlink(missing_ok=True)
    print("Kept. `deploy/host --check` says what is so.")


def undo(machine: Machine) -> None:
    """As it was before an --apply that is not confirmed, else as before the first one; twice does no harm. Rules of
    Docker and others stay."""
    machine.run("systemctl", "stop", f"{TIMER}.timer")
    restored = [name for name in (FIREWALL, SSHD) if before(machine, name).exists()]
    for name in (FIREWALL, SSHD):
        if name in restored:
            before(machine, name).replace(machine.path(name))
        else:
            machine.path(name).unlink(missing_ok=True)
    reload_ssh(machine)  # first: whatever becomes of the rules, whoever came in by password comes in again
    if FIREWALL in restored:
        machine.must("nft", "-f", machine.path(FIREWALL))
    else:
        machine.run("systemctl", "disable", "sigilo-firewall.service")
        machine.path(UNIT).unlink(missing_ok=True)
        machine.run("systemctl", "daemon-reload")
        machine.run("nft", "delete", "table", "inet", "sigilo")
    machine.path(APPLIED_BY).unlink(missing_ok=True)
    print("Taken back: as it was before." if restored else "Taken back: the firewall is open, and sshd as it was.")


def before(machine: Machine, name: str) -> Path:
    path = machine.path(name)
    return path.with_name(path.name + BEFORE)


def keep_before(machine: Machine) -> None:
    """What is confirmed, so that a second --apply can be taken back to it."""
    for name in (FIREWALL, SSHD):
        path = machine.path(name)
        if path.exists() and machine.path(UNIT).exists():
            replace(before(machine, name), path.read_text(), 0o644)


def check_firewall(machine: Machine, text: str) -> None:
    """Raises InstallError where nft does not take it; nothing is loaded."""
    folder = machine.path(FIREWALL).parent
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    trial = folder / "firewall.trial.nft"
    replace(trial, text, 0o600)
    try:
        machine.must("nft", "--check", "--file", trial)
    finally:
        trial.unlink()


def put_sshd(machine: Machine, text: str) -> None:
    """Raises InstallError, the file being away again, where sshd does not take it or something else goes before it."""
    put(machine, SSHD, text)
    wrong = machine.check_sshd()
    settings = machine.sshd() or {}
    if not wrong and settings.get("passwordauthentication") != ["no"]:
        wrong = "sshd reads no sshd_config.d: begin /etc/ssh/sshd_config with Include /etc/ssh/sshd_config.d/*.conf"
    if wrong:
        machine.path(SSHD).unlink()
        raise InstallError(wrong)


def put(machine: Machine, name: str, text: str) -> None:
    path = machine.path(name)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    replace(path, text, 0o644)


def reload_ssh(machine: Machine) -> None:
    """Sessions stay. Debian's name of it is ssh; where a socket starts it for each, there is nothing to reload."""
    if machine.check_sshd():
        return
    for unit in ("ssh", "sshd"):
        if machine.run("systemctl", "reload", unit).code == 0:
            return
