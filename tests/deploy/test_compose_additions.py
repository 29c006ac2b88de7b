"""What deploy/compose adds to compose.prod.yml: as little as it says, and by the same rules."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.composed import ADDRESS, ROOT, Bootstrapped, Project, interpolated, read
from tests.deploy.test_compose import TAG

FOLDER = ROOT / "deploy" / "compose"


def addition(name: str, **variables: str) -> dict[str, Any]:
    model: dict[str, Any] = interpolated(yaml.safe_load((FOLDER / name).read_text()), variables)
    return model


@pytest.fixture(scope="module")
def project() -> Project:
    return read()


def test_compose_would_take_them() -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    files = sorted(FOLDER.glob("*.yml"))
    done = subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and files, done.stdout + done.stderr


def test_an_archive_in_a_bucket_gives_the_database_a_way_out_and_nothing_else(project: Project) -> None:
    model = addition("archive-in-a-bucket.yml", ARCHIVE_BUCKET="b", ARCHIVE_ENDPOINT="e", ARCHIVE_REGION="r")
    assert model["services"].keys() == {"postgres", "postgres-archive"}
    for name, service in model["services"].items():
        assert service.keys() == {"environment", "networks"}
        assert set(service["networks"]) == {*project.networks_of(name), "archive"}
        assert not [key for key in service["environment"] if "KEY" in key or "PASS" in key]
    assert model["networks"] == {"archive": {}}


def test_an_object_store_keeps_the_rules_of_the_others(project: Project, tmp_path: Path) -> None:
    model = addition("object-store.yml", SECRETS_GROUP="1001", OBJECTS="/srv/objects")
    store = model["services"].pop("object-store")
    like = project.services["redis"]
    for key in ("restart", "read_only", "cap_drop", "security_opt", "logging"):
        assert store[key] == like[key]
    assert TAG.fullmatch(store["image"]) and store["user"] == "1000:1000" and "ports" not in store
    assert {"cpus", "mem_limit", "pids_limit", "healthcheck"} <= store.keys() and store["networks"] == ["data"]
    # Who speaks to it believes its certificate.
    [target] = {each["environment"]["AWS_CA_BUNDLE"] for each in model["services"].values()}
    assert all(target == f"/run/secrets/{each['secrets'][0]}" for each in model["services"].values())
    storing = {name for name in project.services if "S3_ENDPOINT_URL" in project.environment_of(name)}
    assert model["services"].keys() == storing - {"worker", "worker-inference"}

    bootstrapped = Bootstrapped(tmp_path)
    assert bootstrapped.run("--public-url", ADDRESS, "--object-store").returncode == 0
    for each in model["secrets"].values():
        assert (bootstrapped.state / Path(each["file"]).relative_to("deploy/state")).exists()
    [identity] = json.loads((bootstrapped.secrets / "object_store.json").read_text())["identities"]
    [credentials] = identity["credentials"]
    worker = bootstrapped.secrets / "worker"
    assert credentials["accessKey"] == (worker / "s3_access_key_id").read_text().strip()
    assert credentials["secretKey"] == (worker / "s3_secret_access_key").read_text().strip()
