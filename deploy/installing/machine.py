"""The machine as ``deploy/host`` sees it: its files below a root, and its programs. What a program says is data."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from installing.files import InstallError

SECONDS = 20
SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # an ordinary user's PATH lacks half of it
NO_LOGIN = re.compile(r"(nologin|false|sync|halt|shutdown)$")
ADMINISTRATORS = ("sudo", "admin", "wheel")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said; ``code`` is -1 where there is no such program, or where it did not end in time."""

    code: int
    text: str
    error: str


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in, and how many keys let them."""

    name: str
    is_administrator: bool
    keys: int


class Machine:
    """``root`` stands before every path, so that a test has a machine of its own."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def has(self, program: str) -> bool:
        return shutil.which(program, path=_environment()["PATH"]) is not None

    def run(self, *command: str | Path) -> Answer:
        environment = _environment()
        program = shutil.which(str(command[0]), path=environment["PATH"])
        if program is None:
            return Answer(-1, "", f"{command[0]} is not installed")
        try:
            ran = subprocess.run(
                [program, *map(str, command[1:])], capture_output=True, text=True, timeout=SECONDS, env=environment,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Answer(-1, "", f"{command[0]} did not end within {SECONDS} s")
        except OSError as error:
            return Answer(-1, "", f"{command[0]}: {error.strerror}")
        return Answer(ran.returncode, ran.stdout, ran.stderr.strip())

    def must(self, *command: str | Path) -> str:
        """The same, or InstallError with what the program said."""
        answer = self.run(*command)
        if answer.code != 0:
            raise InstallError(f"`{' '.join(map(str, command))}` failed: {answer.error[-300:] or answer.text[-300:]}")
        return answer.text

    def sshd(self, account: str = "") -> dict[str, list[str]] | None:
        """sshd's settings as they hold for everybody, or for ``account`` after its Match blocks, by keyword; None where
        it does not say (no sshd, or not root)."""
        whose = ("-C", f"user={account},host=elsewhere.example,addr=203.0.113.1") if account else ()
        answer = self.run("sshd", "-T", *whose, "-f", self.path("/etc/ssh/sshd_config"))
        if answer.code != 0:
            return None
        found: dict[str, list[str]] = {}
        for line in answer.text.splitlines():
            keyword, _, value = line.partition(" ")
            found.setdefault(keyword.lower(), []).append(value.strip())
        return found

    def check_sshd(self) -> str:
        """What is wrong with sshd's files; nothing where they are well."""
        answer = self.run("sshd", "-t", "-f", self.path("/etc/ssh/sshd_config"))
        return "" if answer.code == 0 else answer.error or "sshd -t says no more"

    def socket_ports(self) -> list[str]:
        """Where systemd listens and starts sshd for each who comes: sshd's own settings then say nothing of it."""
        if self.run("systemctl", "is-active", "--quiet", "ssh.socket").code != 0:
            return []
        listens = self.run("systemctl", "show", "ssh.socket", "--property=Listen", "--value").text
        return re.findall(r"(?:^|:)(\d+) \(Stream\)", listens, re.MULTILINE)

    def accounts(self, key_files: Sequence[str]) -> list[Account]:
        """Who may log in, with the keys in ``key_files``, as sshd's AuthorizedKeysFile names them."""
        administrators = {"root"}
        for line in self._lines("/etc/group"):
            name, _, _, members = [*line.split(":"), "", "", ""][:4]
            if name in ADMINISTRATORS:
                administrators.update(filter(None, members.split(",")))
        found = []
        for line in self._lines("/etc/passwd"):
            parts = line.split(":")
            if len(parts) == 7 and not NO_LOGIN.search(parts[6]):
                keys = sum(self._keys(file, parts[0], parts[5]) for file in key_files)
                found.append(Account(parts[0], parts[0] in administrators, keys))
        return found

    def _keys(self, file: str, account: str, home: str) -> int:
        name = file.replace("%u", account).replace("%h", home).replace("%%", "%")
        path = self.path(name if name.startswith("/") else f"{home}/{name}")
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            return 0
        return sum(1 for line in lines if re.search(r"(^|\s)(ssh-|ecdsa-|sk-)\S+ AAAA", line))

    def _lines(self, name: str) -> list[str]:
        try:
            return self.path(name).read_text(errors="replace").splitlines()
        except OSError:
            return []


def ssh_connection() -> str:
    """How whoever started this program came in: client's address and port, server's address and port; empty at the
    console. Where sudo leaves it out of the environment, a process above this one has it."""
    pid = os.getpid()
    while pid > 1:
        try:
            folder = Path("/proc", str(pid))
            variables = folder.joinpath("environ").read_bytes().split(b"\0")
            pid = int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            break
        for variable in variables:
            name, _, value = variable.partition(b"=")
            if name == b"SSH_CONNECTION":
                return value.decode(errors="replace")
    return ""


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("DOCKER_HOST", "HOME") if name in os.environ}
    return {"PATH": f"{os.environ.get('PATH', '')}:{SBIN}", "LC_ALL": "C", **kept}
