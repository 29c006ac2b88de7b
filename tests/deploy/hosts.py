"""A server for deploy/host: its files in a folder, real nft in a network of its own, real sshd to read its files, and,
in place of systemd and Docker, programs that write down what they are asked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.deploy.composed import ROOT

HOST = ROOT / "deploy" / "host"
NOBODY = 65534
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAbcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ ana@laptop\n"
SSHD_CONFIG = "Include {root}/etc/ssh/sshd_config.d/*.conf\nHostKey {root}/etc/ssh/key\nPort {port}\nUsePAM no\n"
PASSWD = "root:x:0:0::/root:/bin/bash\nana:x:1000:1000::/home/ana:/bin/bash\nwww:x:33:33::/var/www:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nsudo:x:27:ana\n"
# What systemd and Docker are asked is a line in `calls`; what there is to say lies in files beside it.
STAND_IN = """#!/bin/sh
here=$(dirname "$0")
echo "$(basename "$0") $*" >>"$here/calls"
case "$(basename "$0") $*" in
"systemctl is-enabled "*) [ -e "$here/enabled" ] && echo enabled || { echo disabled; exit 1; } ;;
"systemctl enable "*) touch "$here/enabled" ;;
"systemctl disable "*) rm -f "$here/enabled" ;;
"docker ps "*) cat "$here/published" ;;
"systemctl is-active --quiet ssh.socket") [ -e "$here/socket" ] || exit 3 ;;
"systemctl show ssh.socket "*) cat "$here/socket" ;;
"systemd-run "*) [ ! -e "$here/no-timer" ] || { echo "Failed to start transient timer unit" >&2; exit 1; } ;;
esac
"""


@contextmanager
def network() -> Iterator[list[str]]:
    """The command before which a program runs in a network of its own, which is gone afterwards; empty where the kernel
    gives none to this account."""
    apart = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    holder = subprocess.Popen([*apart, "sh", "-c", "echo there; exec sleep 600"], stdout=subprocess.PIPE, text=True)
    try:
        there = holder.stdout is not None and holder.stdout.readline() == "there\n"
        enter = ["nsenter", f"--target={holder.pid}", "--net"]
        if os.geteuid() != 0:
            enter += ["--user", "--preserve-credentials"]
        yield enter if there else []
    finally:
        holder.kill()
        holder.communicate()


class Host:
    """``apart`` is what ``network`` gave."""

    def __init__(self, folder: Path, programs: Path, apart: list[str], *, port: int = 22) -> None:
        self.root, self.bin = folder / "root", folder / "bin"
        for path in ("etc/ssh/sshd_config.d", "etc/systemd/system", "root", "home/ana/.ssh"):
            (self.root / path).mkdir(parents=True)
        self.write("etc/passwd", PASSWD)
        self.write("etc/group", GROUP)
        self.write("etc/ssh/sshd_config", SSHD_CONFIG.format(root=self.root, port=port))
        key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        self.write("etc/ssh/key", key.decode())
        (self.root / "etc/ssh/key").chmod(0o600)
        self.bin.mkdir()
        self._program("nft", *apart, programs / "nft")
        # As root sshd wants an account and a folder of the system even for reading its files.
        as_nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        if os.geteuid() == 0:
            os.chown(self.root / "etc/ssh/key", NOBODY, NOBODY)
        self._program("sshd", *(as_nobody if os.geteuid() == 0 else ()), programs / "sshd")
        for name in ("systemctl", "systemd-run", "docker"):
            self._write_program(name, STAND_IN)
        (self.bin / "published").write_text("sigilo-caddy-1 0.0.0.0:80->80/tcp, [::]:443->443/tcp\n")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def give_key(self, account: str = "ana") -> None:
        self.write(f"{'' if account == 'root' else 'home/'}{account}/.ssh/authorized_keys", f"# laptop\n{KEY}")

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """By default as at the console, however whoever runs the tests came in."""
        command = [str(HOST), *arguments, "--root", str(self.root)]
        given = {"PATH": f"{self.bin}:/usr/bin:/bin", "SSH_CONNECTION": "", **environment}
        return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)

    def run_by_sudo(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """From a shell with ``environment``, of which sudo hands nothing on."""
        shell = ["sh", "-c", 'env --ignore-environment "PATH=$PATH" "$@"; exit $?', "sh"]
        command = [*shell, str(HOST), *arguments, "--root", str(self.root)]
        given = {"PATH": f"{self.bin}:/usr/bin:/bin", **environment}
        return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)

    def findings(self) -> dict[str, str]:
        """The state of each line of --check, by name."""
        lines = self.run("--check").stdout.splitlines()
        found = [re.fullmatch(r"(ok|bad|unknown) ([a-z-]+): (.+)", line) for line in lines]
        assert all(found), lines
        return {each[2]: each[1] for each in found if each}

    def nft(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.bin / "nft", *arguments], capture_output=True, text=True, check=False)

    def calls(self, program: str) -> list[str]:
        path = self.bin / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.removeprefix(f"{program} ") for line in lines if line.startswith(f"{program} ")]

    def files(self) -> dict[str, str]:
        """All that is in its file system."""
        return {str(path): path.read_text() for path in sorted(self.root.rglob("*")) if path.is_file()}

    def _program(self, name: str, *command: str | Path) -> None:
        self._write_program(name, f"#!/bin/sh\nexec {' '.join(map(str, command))} \"$@\"\n")

    def _write_program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)


@contextmanager
def public_folder() -> Iterator[Path]:
    """One that every account comes into, as /etc is."""
    folder = Path(tempfile.mkdtemp(prefix="sigilo-host-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
