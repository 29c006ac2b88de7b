"""Three machines on one cable: a server with a container behind a bridge of Docker's kind, and somebody outside. Each
is a network namespace; the firewall of the server is loaded as it stands, and connections are real."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SERVER, OUTSIDER, CONTAINER, GATEWAY = "203.0.113.1", "203.0.113.2", "172.30.0.2", "172.30.0.1"
# Listens on each port and says a word to whoever comes.
LISTEN = """
import selectors, socket, sys
chosen = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    listening = socket.create_server(("0.0.0.0", port), backlog=16)
    chosen.register(listening, selectors.EVENT_READ)
print("there", flush=True)
while True:
    for key, _ in chosen.select():
        connection, _ = key.fileobj.accept()
        connection.sendall(b"here")
        connection.close()
"""
CONNECT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as connection:
        sys.exit(connection.recv(4) != b"here")
except OSError:
    sys.exit(1)
"""
# What Docker's NAT does for a published port.
PUBLISHED = """
table ip docker {{
	chain prerouting {{
		type nat hook prerouting priority dstnat;
		iifname "outside" tcp dport {{ {ports} }} dnat to {container}
	}}
	chain postrouting {{
		type nat hook postrouting priority srcnat;
		ip saddr 172.30.0.0/24 oifname "outside" masquerade
	}}
}}
"""


@dataclass(frozen=True)
class Place:
    """One namespace, by the process that holds it."""

    process: subprocess.Popen[str]

    def enter(self, *command: str | Path) -> list[str]:
        return ["nsenter", f"--target={self.process.pid}", "--net", *map(str, command)]

    def run(self, *command: str | Path, given: str = "") -> None:
        subprocess.run(self.enter(*command), input=given, text=True, check=True, capture_output=True)

    def reaches(self, address: str, port: int, *, within: float = 3.0) -> bool:
        command = self.enter(sys.executable, "-S", "-c", CONNECT, address, str(port), str(within))
        return subprocess.run(command, check=False).returncode == 0

    @contextmanager
    def listening(self, *ports: int) -> Iterator[None]:
        command = self.enter(sys.executable, "-S", "-c", LISTEN, *map(str, ports))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None and process.stdout.readline() == "there\n"
                yield
            finally:
                process.kill()


@contextmanager
def places() -> Iterator[tuple[Place, Place, Place]]:
    """The server, somebody outside, and the container, connected and routed, without any firewall."""
    made: list[Place] = []
    try:
        for _ in range(3):
            command = ["unshare", "--net", "sh", "-c", "echo there; exec sleep 600"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            made.append(Place(process))
            assert process.stdout is not None and process.stdout.readline() == "there\n"
        server, outsider, container = made
        for line in (
            "link set lo up",
            f"link add outside type veth peer name cable netns {outsider.process.pid}",
            f"addr add {SERVER}/24 dev outside", "link set outside up",
            "link add br-test type bridge", f"addr add {GATEWAY}/24 dev br-test", "link set br-test up",
            f"link add veth1 type veth peer name eth0 netns {container.process.pid}",
            "link set veth1 master br-test", "link set veth1 up",
        ):  # fmt: skip
            server.run("ip", *line.split())
        for place, address, device in ((outsider, OUTSIDER, "cable"), (container, CONTAINER, "eth0")):
            for line in ("link set lo up", f"addr add {address}/24 dev {device}", f"link set {device} up"):
                place.run("ip", *line.split())
        container.run("ip", "route", "add", "default", "via", GATEWAY)
        outsider.run("ip", "route", "add", f"{CONTAINER}/32", "via", SERVER)  # who knows the way tries it, too
        server.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        yield server, outsider, container
    finally:
        for place in made:
            with suppress(ProcessLookupError):
                place.process.kill()
            place.process.communicate()


def publish(server: Place, nft: Path, *ports: int) -> None:
    text = PUBLISHED.format(ports=", ".join(map(str, ports)), container=CONTAINER)
    server.run(nft, "--file", "-", given=text)
