"""What ``deploy/host --check`` looks at. Each finding names the evidence; nothing is changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from installing.machine import Machine

State = Literal["ok", "bad", "unknown"]
Settings = dict[str, list[str]] | None  # of sshd, as Machine.sshd gives them
OPEN_TO_ALL = {"80", "443"}
PUBLISHED = re.compile(r"(\S+):(\d+(?:-\d+)?)->")
LOOPBACK = ("127.", "[::1]", "localhost")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and by what that is known."""

    state: State
    name: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.state} {self.name}: {' '.join(self.evidence.split())}"


def examine(machine: Machine) -> list[Finding]:
    """Every finding, whatever the others say."""
    settings = machine.sshd()
    return [
        _firewall(machine), _firewall_at_start(machine), _published_ports(machine), _ssh_files(machine),
        _ssh_passwords(machine, settings), _ssh_root(settings), _ssh_keys(machine, settings),
    ]  # fmt: skip


def _firewall(machine: Machine) -> Finding:
    answer = machine.run("nft", "list", "table", "inet", "sigilo")
    if answer.code != 0:
        if "No such file" in answer.error:
            return Finding("bad", "firewall", "there is no table inet sigilo: deploy/host --apply")
        return Finding("unknown", "firewall", f"nft does not say: {answer.error or 'no reason given'} (are you root?)")
    chains: dict[str, str] = dict(re.findall(r"chain (\w+) \{(.*?)\n\t\}", answer.text, re.DOTALL))
    if "policy drop" not in chains.get("input", ""):
        return Finding("bad", "firewall", "its chain input lets in what no rule names: deploy/host --apply")
    if not re.search(r"\bdrop\s*$", chains.get("forward", "").strip()):
        return Finding("bad", "firewall", "its chain forward ends without drop, so published ports are open")
    ports = " ".join(re.findall(r"dport (\{[^}]*\}|\d+)", chains["input"]))
    return Finding("ok", "firewall", f"input drops but for ports {ports}; forwarded from outside only to 80 and 443")


def _firewall_at_start(machine: Machine) -> Finding:
    answer = machine.run("systemctl", "is-enabled", "sigilo-firewall.service")
    said = answer.text.strip() or answer.error
    if answer.code == 0:
        return Finding("ok", "firewall-at-start", f"sigilo-firewall.service is {said}")
    if answer.code < 0:
        return Finding("unknown", "firewall-at-start", said)
    return Finding("bad", "firewall-at-start", f"sigilo-firewall.service: {said}: deploy/host --apply, then --confirm")


def _published_ports(machine: Machine) -> Finding:
    """What Docker publishes to the world, which no INPUT rule shuts."""
    answer = machine.run("docker", "ps", "--format", "{{.Names}} {{.Ports}}")
    if answer.code != 0:
        return Finding("unknown", "published-ports", answer.error or "docker does not say")
    wrong = [
        f"{line.split()[0]} {address}:{port}"
        for line in answer.text.splitlines()
        for address, port in PUBLISHED.findall(line)
        if not address.startswith(LOOPBACK) and port not in OPEN_TO_ALL
    ]
    if wrong:
        return Finding("bad", "published-ports", f"published to the world: {', '.join(wrong)}")
    return Finding("ok", "published-ports", "Docker publishes 80 and 443 at most, and what is on loopback")


def _ssh_files(machine: Machine) -> Finding:
    answer = machine.run("sshd", "-t", "-f", machine.path("/etc/ssh/sshd_config"))
    if answer.code < 0:
        return Finding("unknown", "ssh-files", answer.error)
    return Finding("ok", "ssh-files", "sshd -t") if answer.code == 0 else Finding("bad", "ssh-files", answer.error)


def _ssh_passwords(machine: Machine, settings: Settings) -> Finding:
    if settings is None:
        return Finding("unknown", "ssh-passwords", "sshd -T does not say (are you root?)")
    ways = ("passwordauthentication", "kbdinteractiveauthentication", "permitemptypasswords")
    said = ", ".join(f"{each} {' '.join(settings.get(each, ['?']))}" for each in ways)
    if any(settings.get(each) != ["no"] for each in ways):
        return Finding("bad", "ssh-passwords", said)
    # A Match block opens for one account what is shut for all.
    names = [account.name for account in machine.accounts(())]
    let_in = [name for name in names if any((machine.sshd(name) or {}).get(each) != ["no"] for each in ways)]
    if let_in:
        return Finding("bad", "ssh-passwords", f"{said}; but a Match block lets in by password: {', '.join(let_in)}")
    return Finding("ok", "ssh-passwords", f"{said}, for each of {len(names)} accounts that may log in")


def _ssh_root(settings: Settings) -> Finding:
    if settings is None:
        return Finding("unknown", "ssh-root", "sshd -T does not say (are you root?)")
    said = " ".join(settings.get("permitrootlogin", ["?"]))
    by_key_at_most = ("no", "prohibit-password", "without-password", "forced-commands-only")
    return Finding("ok" if said in by_key_at_most else "bad", "ssh-root", f"permitrootlogin {said}")


def _ssh_keys(machine: Machine, settings: Settings) -> Finding:
    if settings is None:
        return Finding("unknown", "ssh-keys", "sshd -T does not say where they lie (are you root?)")
    accounts = machine.accounts(" ".join(settings.get("authorizedkeysfile", [])).split())
    able = [f"{each.name} ({each.keys})" for each in accounts if each.keys and each.is_administrator]
    if not able:
        return Finding("bad", "ssh-keys", "no administrator has a key: ssh-copy-id from your machine")
    return Finding("ok", "ssh-keys", f"administrators with keys: {', '.join(able)}")
