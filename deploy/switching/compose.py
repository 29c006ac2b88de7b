"""The commands of compose.prod.yml, and of what a clinic adds to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from installing.files import read_env

from switching.commands import Commands

INSIDE, ADMIN = "http://127.0.0.1:2019", "http://localhost:2020"
IS_ALIVE = "/opt/sigilo/app/deploy/image/is-alive"


def compose_files(top: Path, environ: Mapping[str, str]) -> list[Path]:
    """Those that `docker compose` itself takes in the folder ``top``, as COMPOSE_FILE says in ``environ`` or in .env: a
    service that is made anew from fewer would lose what the others gave it, a certificate or a network."""
    said = {**read_env(top / ".env"), **environ}
    names = said.get("COMPOSE_FILE", "").split(said.get("COMPOSE_PATH_SEPARATOR") or ":")
    return [top / name for name in names if name] or [top / "compose.prod.yml"]


def compose_table(files: Sequence[Path], also: Sequence[str]) -> Commands:
    """``also``: the services besides the web that belong to the release."""
    named = [word for file in files for word in ("--file", str(file))]
    compose = ["docker", "compose", *named, "--profile", "green"]
    inside = [*compose, "exec", "-T"]
    table = {
        "beside": [*compose, "run", "--rm", "-T", "prepare", "db", "beside"],
        "prepare": [*compose, "run", "--rm", "-T", "prepare"],
        "start": [*compose, "up", "--detach", "--no-deps", "--force-recreate", "web-{colour}"],
        "resume": [*compose, "start", "web-{colour}"],
        "stop": [*compose, "stop", "--timeout", "60", "web-{colour}"],
        "runs": [*compose, "ps", "--status", "running", "--quiet", "web-{colour}"],
        "ready": [*inside, "web-{colour}", IS_ALIVE, "/readyz"],
        "smoke": [*inside, "web-{colour}", "sigilo", "smoke", "http://127.0.0.1:8000"],
        "serving": [*inside, "caddy", "wget", "-q", "-O", "-", f"{INSIDE}/serving"],
        "upstreams": [*inside, "caddy", "wget", "-q", "-O", "-", f"{ADMIN}/reverse_proxy/upstreams"],
    }
    if also:
        table["follow"] = [*compose, "up", "--detach", "--no-deps", *also]
    return Commands(table, {"blue": "web-blue:8000", "green": "web-green:8000"})
