"""The commands of compose.prod.yml, and of what a clinic adds to it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from switching.commands import Commands

INSIDE, ADMIN = "http://127.0.0.1:2019", "http://localhost:2020"
INTERNAL_ROOT = "/data/caddy/pki/authorities/local/root.crt"
DRILLS = "postgres-drills"
IS_ALIVE = "/opt/sigilo/app/deploy/image/is-alive"


def compose_files(top: Path, said: Mapping[str, str]) -> list[Path]:
    """Those that `docker compose` itself takes in the folder ``top``, as COMPOSE_FILE is ``said`` to be by the
    environment or .env: a service that is made anew from fewer would lose what the others gave it, a certificate or a
    network."""
    names = said.get("COMPOSE_FILE", "").split(said.get("COMPOSE_PATH_SEPARATOR") or ":")
    return [top / name for name in names if name] or [top / "compose.prod.yml"]


def compose_table(
    files: Sequence[Path], also: Sequence[str], env: Mapping[str, str], env_file: Path | None = None
) -> Commands:
    """``also``: the services besides the web that belong to the release; ``env``: what .env says, or ``env_file`` in
    its place."""
    named = [word for file in files for word in ("--file", str(file))]
    named += ["--env-file", str(env_file)] if env_file is not None else []
    compose = ["docker", "compose", *named, "--profile", "blue", "--profile", "green"]
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
    if env.get("PUBLIC_URL"):
        table["outside"] = _outside(inside, env)
    up = [*compose, "up", "--detach", "--no-deps"]
    waited_for = [name for name in also if name != DRILLS]
    if DRILLS in also:
        table["drills"] = [*up, DRILLS]
    if waited_for:
        # Until they are healthy: what starts and ends again at once is no worker.
        table["follow"] = [*up, "--wait", *waited_for]
    return Commands(table, {"blue": "web-blue:8000", "green": "web-green:8000"})


def _outside(inside: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """`sigilo smoke` of the clinic's address, which leads to the proxy within the network `front`. A certificate that
    no public authority gave is known by what the proxy itself has: its root, or the file that it was given."""
    look = [*inside, "web-{colour}", "sigilo", "smoke", env["PUBLIC_URL"]]
    given = env.get("SIGILO_TLS", "").split()
    if given == ["internal"]:
        known = INTERNAL_ROOT
    elif len(given) == 2:
        known = given[0]
    else:
        return look
    tell = [*inside, "caddy", "cat", known]
    return ["sh", "-c", f"{shlex.join(tell)} | {shlex.join([*look, '--authority', '-'])}"]
