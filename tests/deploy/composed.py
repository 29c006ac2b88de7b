"""compose.prod.yml and what it includes as engines see them after deploy/bootstrap: one project, variables put in."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = ("compose.prod.yml", "compose.monitoring.yml")
ADDRESS, SMTP_URL = "https://sigilo.clinica.br", "smtp://sigilo:g4tO_subiu-no-telhado@mail.clinica.br:587?from=sigilo@clinica.br"
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[-?+])((?:[^{}]|\{[^{}]*\})*))?\})")


class Bootstrapped:
    """What deploy/bootstrap made in a folder of its own: ``state`` stands for deploy/state, ``env`` for .env."""

    def __init__(self, folder: Path) -> None:
        self.state, self.env = folder / "state", folder / ".env"

    @property
    def secrets(self) -> Path:
        return self.state / "secrets"

    def command(self, program: Path) -> list[str]:
        return [str(program), "--state", str(self.state), "--env", str(self.env)]

    def run(self, *arguments: str, smtp_url: str = SMTP_URL, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [*self.command(ROOT / "deploy" / "bootstrap"), *arguments]
        environment = {"PATH": os.environ["PATH"], "SMTP_URL": smtp_url}
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
            check=False, **options,
        )  # fmt: skip

    def make(self) -> None:
        done = self.run("--public-url", ADDRESS)
        assert done.returncode == 0, done.stderr

    def variables(self) -> dict[str, str]:
        lines = (line.split("=", 1) for line in self.env.read_text().splitlines() if line[:1] != "#")
        return {name: value.strip("'") for name, value in lines}


@dataclass(frozen=True)
class Project:
    """Both files as one. ``texts`` are the files themselves, for what only a reader sees."""

    model: dict[str, Any]
    texts: dict[str, str]
    made: frozenset[str]  # paths below the top that deploy/bootstrap made

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.model["services"]
        return found

    def tasks(self) -> set[str]:
        """Services that run once and end."""
        return {name for name, service in self.services.items() if service["restart"] == "no"}

    def networks_of(self, name: str) -> dict[str, set[str]]:
        """The names that the service has in each of its networks."""
        service = self.services[name]
        if "network_mode" in service:
            assert service["network_mode"] == "none", f"{name} is in somebody else's network"
            return {}
        given = service.get("networks", {"default": {}})
        aliases = {each: (given[each] or {}).get("aliases", []) if isinstance(given, dict) else [] for each in given}
        return {network: {name, *more} for network, more in aliases.items()}

    def called(self, name: str, network: str) -> set[str]:
        """The services that ``name`` leads to from ``network``."""
        return {each for each in self.services if name in self.networks_of(each).get(network, set())}

    def mounts(self, name: str) -> list[tuple[str, str, bool]]:
        """Source, target and whether it is read only, of every volume and folder of the service."""
        found = []
        for each in self.services[name].get("volumes", []):
            if isinstance(each, dict):
                found.append((each["source"], each["target"], bool(each.get("read_only"))))
            else:
                source, target, *options = each.split(":")
                found.append((source, target, options[:1] != [] and "ro" in options[0].split(",")))
        return found

    def secrets_of(self, name: str) -> dict[str, str]:
        """By the file's path in the container, the secret's path below the top."""
        found = {}
        for each in self.services[name].get("secrets", []):
            source = each if isinstance(each, str) else each["source"]
            target = source if isinstance(each, str) else each.get("target", source)
            path = target if target.startswith("/") else f"/run/secrets/{target}"
            found[path] = self.model["secrets"][source]["file"]
        return found

    def environment_of(self, name: str) -> dict[str, str]:
        return {key: str(value) for key, value in self.services[name].get("environment", {}).items()}


def put_in(text: str, variables: dict[str, str]) -> str:
    """``text`` with variables as compose puts them in: ``${NAME}``, ``:-default``, ``:?else``, ``:+then``, ``$$``."""

    def value(match: re.Match[str]) -> str:
        dollar, name, sign, rest = match.groups()
        if dollar:
            return "$"
        if sign == ":+":
            return put_in(rest, variables) if variables.get(name) else ""
        if variables.get(name):
            return variables[name]
        assert sign != ":?", f"{name} is needed, and deploy/bootstrap does not write it"
        return put_in(rest or "", variables)

    return VARIABLE.sub(value, text)


def interpolated(node: Any, variables: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: interpolated(each, variables) for key, each in node.items()}
    if isinstance(node, list):
        return [interpolated(each, variables) for each in node]
    return put_in(node, variables) if isinstance(node, str) else node


@cache
def read(*more: str) -> Project:
    """The project as deploy/bootstrap leaves it on a machine with Docker, with ``more`` in .env, each as NAME=VALUE."""
    with TemporaryDirectory() as folder:
        bootstrapped = Bootstrapped(Path(folder))
        bootstrapped.make()
        variables = {"DOCKER_GROUP": "998"} | bootstrapped.variables() | dict(each.split("=", 1) for each in more)
        made = frozenset(
            str(Path("deploy/state") / path.relative_to(bootstrapped.state)) for path in bootstrapped.state.rglob("*")
        )
    texts = {file: (ROOT / file).read_text() for file in FILES}
    merged: dict[str, Any] = {"services": {}, "networks": {}, "volumes": {}, "secrets": {}}
    for text in texts.values():
        model = interpolated(yaml.safe_load(text), variables)
        for kind, known in merged.items():
            for name, each in (model.get(kind) or {}).items():
                # Compose takes a name from two files where both say the same, which paths of files may not.
                is_same = name in known and known[name] == each and kind == "networks"
                assert name not in known or is_same, f"{kind} {name} is in both files"
                known[name] = each
    return Project(merged, texts, made)
