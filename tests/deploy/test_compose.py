"""compose.prod.yml keeps what it promises: who may do what, who reaches whom, and that nothing has its own default."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path, PurePath
from urllib.parse import urlsplit

import pytest
import yaml

from integrations.broker import QUEUES
from tests.deploy.composed import ADDRESS, FILES, ROOT, Project, read

# Root, without one of root's capabilities, and why.
AS_ROOT = {
    "cadvisor": "reads the engine's own list of layers",
    "volume-owners": "gives folders to their accounts, and ends",
    "monitoring-volume-owners": "gives folders to their accounts, and ends",
}
CAPABLE = {
    "caddy": ["NET_BIND_SERVICE"], "ops-door": ["NET_BIND_SERVICE"], "volume-owners": ["CHOWN"],
    "monitoring-volume-owners": ["CHOWN"],
}  # fmt: skip
# A way out, or in, and what for.
OUTSIDE = {
    "caddy": "people come in", "ops-door": "operators come in, on loopback", "ollama-pull": "fetches a model",
    "worker-backups": "to a bucket", "worker-audit": "looks at checkpoints elsewhere", "worker-prompt": "mail",
    "tools": "an operator's commands", "alertmanager": "mail", "blackbox-exporter": "asks as somebody outside does",
}  # fmt: skip
# What holds what patients said, or figures about it.
HOLDERS = {
    "postgres", "postgres-archive", "postgres-drills", "redis", "redis-cache", "ollama", "ollama-gpu", "prometheus",
    "loki", "tempo", "grafana",
}  # fmt: skip
PORTS = {"caddy": ["80:80", "443:443"], "ops-door": ["127.0.0.1:3001:3001", "127.0.0.1:9090:9090"]}
SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|_URL$", re.IGNORECASE)
HARMLESS = {
    "PUBLIC_URL", "OLLAMA_URL", "BACKUP_URL", "S3_ENDPOINT_URL", "RUNBOOKS_URL", "GF_SERVER_ROOT_URL", "DRILL_KEYS",
}  # fmt: skip
PUBLIC_KEYS = {"AUDIT_FORMER_KEYS", "BACKUP_FORMER_KEYS"}
HOST_PATHS = {
    "node-exporter": {"/"}, "cadvisor": {"/sys", "/var/lib/docker/image"}, "docker-api": {"/var/run/docker.sock"},
}  # fmt: skip
TAG = re.compile(r"^[\w./-]+:v?\d+\.\d+(\.\d+)?(-\w+)?$")


@pytest.fixture(scope="module")
def project() -> Project:
    return read()


@pytest.mark.parametrize("file", FILES)
def test_compose_would_take_the_file(file: str) -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", ROOT / file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_service_has_a_right_that_it_is_not_named_for(project: Project) -> None:
    for name, service in project.services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service.get("cap_add", []) == CAPABLE.get(name, []), name
        forbidden = {"privileged", "devices", "pid", "ipc", "userns_mode", "uts", "device_cgroup_rules", "cgroup"}
        assert forbidden & service.keys() == set(), name
        assert service.get("network_mode", "none") == "none", name


def test_why_a_capability_is_added_stands_beside_it(project: Project) -> None:
    for file, text in project.texts.items():
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if "cap_add:" in line:
                assert "#" in line or lines[number - 1].strip().startswith("#"), f"{file}:{number + 1}"


def test_nobody_is_root_who_is_not_named(project: Project) -> None:
    assert "USER 1001:1001" in (ROOT / "deploy" / "image" / "Dockerfile").read_text()
    for name, service in project.services.items():
        of_ours = service["image"].startswith("sigilo:")
        user = service.get("user", "1001:1001" if of_ours else "")
        assert user, f"{name} runs as whoever its image says"
        assert (user.split(":")[0] in ("0", "root")) == (name in AS_ROOT), name


def test_every_service_has_its_limits(project: Project) -> None:
    for name, service in project.services.items():
        assert float(service["cpus"]) > 0, name
        assert re.fullmatch(r"\d+[mg]", str(service["mem_limit"])), name
        assert 0 < int(service["pids_limit"]) <= 256, name
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}, name


def test_every_service_starts_again_and_says_how_it_is(project: Project) -> None:
    for name, service in project.services.items():
        if name in project.tasks():
            assert service["healthcheck"] == {"disable": True}, name
            continue
        assert service["restart"] == "unless-stopped", name
        check = service["healthcheck"]
        assert check["test"][0] in ("CMD", "CMD-SHELL"), name
        assert {"interval", "timeout", "retries", "start_period"} <= check.keys(), name


def test_every_image_is_a_version(project: Project) -> None:
    for name, service in project.services.items():
        assert TAG.fullmatch(service["image"]), f"{name}: {service['image']}"
    built = (ROOT / "deploy" / "postgres" / "Dockerfile").read_text()
    version = project.services["postgres"]["image"].split(":")[1]
    assert f"FROM postgres:{version}-" in built, "PostgreSQL's image is named for what it is made from"


def test_ports_are_those_of_people_and_on_loopback_those_of_operators(project: Project) -> None:
    assert {name: each["ports"] for name, each in project.services.items() if "ports" in each} == PORTS
    assert project.services["ops-door"]["profiles"] == ["ops"]


def test_who_has_a_way_out_is_named(project: Project) -> None:
    networks = project.model["networks"]
    open_ones = {name for name, each in networks.items() if not (each or {}).get("internal")}
    assert {name for name in project.services if project.networks_of(name).keys() & open_ones} == OUTSIDE.keys()
    for name in HOLDERS:
        assert all(networks[each]["internal"] is True for each in project.networks_of(name)), name
        assert "ports" not in project.services[name], name


def test_the_clinics_own_name_leads_web_to_the_proxy(project: Project) -> None:
    """deploy/switch lets each colour look at it as people do."""
    site = urlsplit(ADDRESS).hostname
    assert site is not None and project.called(site, "front") == {"caddy"}


def test_only_web_and_the_proxy_are_believed_about_who_asks(project: Project) -> None:
    members = {name for name in project.services if "front" in project.networks_of(name)}
    assert members == {"caddy", "web-blue", "web-green"}
    [subnet] = project.model["networks"]["front"]["ipam"]["config"]
    for name in ("web-blue", "web-green"):
        assert project.environment_of(name)["TRUSTED_PROXIES"] == subnet["subnet"]


def test_the_proxy_reaches_each_colour_by_the_network_on_which_it_is_believed(project: Project) -> None:
    for colour in ("blue", "green"):
        name, _, port = project.environment_of("caddy")[f"SIGILO_{colour.upper()}"].partition(":")
        assert port == "8000"
        networks = project.model["networks"]
        assert {network: project.called(name, network) for network in networks if project.called(name, network)} == {
            "front": {f"web-{colour}"}
        }


def test_no_secret_stands_in_an_environment(project: Project) -> None:
    for name in project.services:
        for variable, value in project.environment_of(name).items():
            if SECRET_NAME.search(variable) and variable not in HARMLESS | PUBLIC_KEYS:
                assert variable.endswith("FILE") and value.startswith("/run/secrets/"), f"{name}: {variable}"
            assert not re.search(r"://[^/@]*:[^/@]+@", value), f"{name}: {variable}"


def test_every_secret_is_made_by_bootstrap_declared_and_used(project: Project) -> None:
    declared = project.model["secrets"]
    used = {path for name in project.services for path in project.secrets_of(name).values()}
    assert {each["file"] for each in declared.values()} == used
    assert used <= project.made
    of_the_folder = {path for path in project.made if path.startswith("deploy/state/secrets/")}
    inner = {"deploy/state/secrets/.made", "deploy/state/secrets/web", "deploy/state/secrets/worker"}
    assert of_the_folder - inner == used, "nothing is made that nobody reads"


def test_what_reads_a_secret_may_read_it(project: Project) -> None:
    for name, service in project.services.items():
        if project.secrets_of(name):
            assert service["group_add"] == ["1001" if os.geteuid() == 0 else str(os.getegid())], name


def test_every_volume_is_declared_and_used(project: Project) -> None:
    used = {source for name in project.services for source, _, _ in project.mounts(name) if source[0] not in "./"}
    assert used == project.model["volumes"].keys()


def test_every_network_is_declared_and_used(project: Project) -> None:
    used = {network for name in project.services for network in project.networks_of(name)}
    assert used == project.model["networks"].keys()


def test_every_mounted_file_is_there_and_read_only(project: Project) -> None:
    for name in project.services:
        for source, target, read_only in project.mounts(name):
            if source.startswith("/"):
                assert source in HOST_PATHS.get(name, ()), f"{name} has the host's {source}"
                assert read_only, f"{name}: {target}"
            elif source.startswith("./"):
                path = source.removeprefix("./")
                assert (ROOT / path).exists() or path in project.made, f"{name}: {source}"
                assert read_only, f"{name}: {target}"


def test_the_engine_is_asked_for_lists_and_logs_alone(project: Project) -> None:
    holders = [name for name in project.services if any("docker.sock" in each[0] for each in project.mounts(name))]
    assert holders == ["docker-api"]
    assert project.networks_of("docker-api").keys() == {"docker-api"}
    members = {name for name in project.services if "docker-api" in project.networks_of(name)}
    assert members == {"docker-api", "alloy", "cadvisor"}
    allowed = {}
    for each in project.services["docker-api"]["command"]:
        if each.startswith("-allow") and "=" in each:
            key, pattern = each.split("=", 1)
            allowed[key] = pattern
    assert allowed.keys() == {"-allowfrom", "-allowHEAD", "-allowGET"}
    container = "4f" * 32
    for path in ("/_ping", "/v1.51/info", "/v1.51/containers/json", f"/v1.51/containers/{container}/logs",
                 f"/v1.51/containers/{container}/json", "/v1.51/networks"):  # fmt: skip
        assert re.fullmatch(allowed["-allowGET"], path), path
    for path in (f"/v1.51/containers/{container}/archive", f"/v1.51/containers/{container}/export",
                 f"/containers/{container}/top", f"/v1.51/containers/{container}/json/../archive", "/v1.51/volumes",
                 "/v1.51/images/json", "/v1.51/secrets", "/v1.51/events", "/v1.51/exec/1/json"):  # fmt: skip
        assert not re.fullmatch(allowed["-allowGET"], path), path


def test_each_queue_has_one_kind_of_worker(project: Project) -> None:
    served = []
    for service in project.services.values():
        command = service.get("command", [])
        if command[:1] == ["worker"]:
            served += [queue for option, queue in pairwise(command) if option == "--queue"]
    assert sorted(served) == sorted(QUEUES)
    assert project.services["scheduler"]["deploy"]["replicas"] == 2


def test_nothing_of_a_server_comes_into_the_image() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*", "what is not named stays out"
    assert [line for line in lines if line.startswith("!deploy")] == ["!deploy/image"]
    kept_out = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "deploy/state/"} <= set(kept_out)


def test_every_module_and_package_comes_into_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    wanted = [line.removeprefix("!") for line in lines if line.startswith("!")]
    installed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    names = {f"{module}.py" for module in installed["py-modules"]} | {
        f"{package.partition('.')[0]}/__init__.py" for package in installed["packages"]
    }
    left_out = {
        name
        for name in names
        if not any(fnmatch(name, pattern) or PurePath(name).is_relative_to(pattern) for pattern in wanted)
    }
    assert left_out == set(), "no program starts without them"


def test_github_would_take_the_workflow_and_it_runs_what_everybody_runs() -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    file = ROOT / ".github" / "workflows" / "ci.yml"
    done = subprocess.run(
        [program, "--builtin-schema", "vendor.github-workflows", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [step for job in yaml.safe_load(file.read_text())["jobs"].values() for step in job["steps"]]
    ran = {step["run"] for step in steps if "run" in step}
    assert {".ci/run", "scripts/try-compose"} <= ran
    assert any("deploy/image/Dockerfile" in each for each in ran)
