"""Who opens backups in compose.prod.yml, and where they are restored: by one worker, on a server that keeps nothing."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from config import Settings
from tests.deploy.composed import ROOT, Bootstrapped, Project, read
from tests.deploy.installed import options_of_drills
from tests.deploy.test_compose_fits import bootstrapped, of_ours, project, settings_of

__all__ = ["bootstrapped", "project"]  # fixtures
DRILLS, SERVER = "worker-backups", "postgres-drills"
ASKS = "tools"  # `sigilo doctor`, whether the server is there and archives nothing
BEGIN_EMPTY = ROOT / "deploy" / "postgres" / "begin-empty"


def holders(project: Project, secret: str) -> set[str]:
    path = f"deploy/state/secrets/{secret}"
    return {name for name in project.services if path in project.secrets_of(name).values()}


def mounting(project: Project, volume: str) -> set[str]:
    return {name for name in project.services for source, _, _ in project.mounts(name) if source == volume}


def test_only_who_drills_has_the_key_that_opens_backups(project: Project) -> None:
    assert mounting(project, "drill-keys") == {DRILLS, "volume-owners"}
    assert project.services["volume-owners"]["network_mode"] == "none"
    command = project.services[DRILLS]["command"]
    assert command == ["worker", "--queue", "backups"], "of its own, so that an import is nowhere near it"
    told = {name: project.environment_of(name).get("DRILL_KEYS") for name in of_ours(project)}
    assert {name for name, said in told.items() if said} == {ASKS} and told[ASKS] == "off"


def test_only_who_drills_reaches_where_drills_restore(project: Project) -> None:
    assert project.networks_of(SERVER).keys() == {"drills"}
    assert project.model["networks"]["drills"] == {"internal": True}
    assert {name for name in project.services if "drills" in project.networks_of(name)} == {DRILLS, ASKS, SERVER}
    assert project.services[ASKS]["profiles"] == ["tools"], "it runs while an operator's command does"
    assert holders(project, "drill_database_url") == {DRILLS, ASKS}
    for secret in ("postgres_drills_password", "postgres_drills.key"):
        assert holders(project, secret) == {SERVER}
    assert not {*project.secrets_of(SERVER).values()} & {*project.secrets_of("postgres").values()}
    assert "ports" not in project.services[SERVER]


def test_the_worker_of_imports_has_nothing_of_backups(project: Project) -> None:
    assert {target for _, target, _ in project.mounts("worker")} == {"/run/secrets/sigilo"}
    assert not {name for name in ("database_url_backup", "database_url_migrator", "database_url_auditor")
                if "worker" in holders(project, name)}  # fmt: skip
    assert project.networks_of("worker").keys() == {"data", "metrics"}


def test_what_is_restored_lies_in_a_volume_of_its_own_that_is_emptied(project: Project) -> None:
    [(volume, folder, _)] = project.mounts(SERVER)
    assert mounting(project, volume) == {SERVER}
    assert project.environment_of(SERVER)["PGDATA"] == f"{folder}/drills"
    assert project.services[SERVER]["entrypoint"] == [BEGIN_EMPTY.name]
    dockerfile = (ROOT / "deploy" / "postgres" / "Dockerfile").read_text()
    assert re.search(rf"^COPY .*\b{BEGIN_EMPTY.name}\b.* /usr/local/bin/$", dockerfile, re.MULTILINE)
    assert project.services[SERVER]["image"] == project.services["postgres"]["image"], "an older one is refused"


def test_its_options_are_those_that_the_handbook_asks_for(project: Project) -> None:
    page = (ROOT / "docs" / "disaster-recovery.md").read_text()
    [asked] = re.findall(r"^postgres (-c .*)$", page, re.MULTILINE)
    wanted, options = set(re.findall(r"-c (\S+)", asked)), options_of_drills(project)
    assert len(wanted) == 6 and wanted <= set(options[1::2]) and {*options[::2]} == {"-c"}


def test_it_begins_with_nothing_of_before_and_empties_no_other_folder(tmp_path: Path) -> None:
    started = tmp_path / "with-own-key"
    started.write_text(f'#!/bin/sh\necho "$*" >{tmp_path}/started\n')
    started.chmod(0o755)
    data = tmp_path / "data"
    (data / "drills" / "base").mkdir(parents=True)
    (data / "drills" / "base" / "16384").write_text("Ana Moura")
    (data / "PG_VERSION").write_text("15\n")
    path = f"{tmp_path}:{os.environ['PATH']}"
    for given in ({}, {"PGDATA": str(data)}, {"PGDATA": "drills"}, {"PGDATA": f"{data}/drills/"}):
        environment = {"PATH": path, **given}
        refused = subprocess.run(
            [BEGIN_EMPTY, "postgres"], env=environment, cwd=data, capture_output=True, text=True, check=False
        )
        assert refused.returncode == 1 and "PGDATA must end in /drills" in refused.stderr
        assert (data / "drills" / "base" / "16384").exists() and not (tmp_path / "started").exists()
    subprocess.run([BEGIN_EMPTY, "postgres", "-c", "a=b"], env={"PATH": path, "PGDATA": f"{data}/drills"}, check=True)
    assert [each.name for each in data.iterdir()] == ["PG_VERSION"], "what lies beside stays"
    assert (tmp_path / "started").read_text() == "postgres -c a=b\n"


def test_who_drills_knows_where_and_how_much(
    project: Project, bootstrapped: Bootstrapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(name: str, composed: Project = project) -> Settings:
        return settings_of(name, composed, bootstrapped, monkeypatch)

    urls = {name: loaded(name).drill_database_url.get_secret_value() for name in of_ours(project)}
    assert {name for name, url in urls.items() if url} == {DRILLS, ASKS}
    for name in (DRILLS, ASKS):
        url = urlsplit(urls[name])
        assert project.called(str(url.hostname), "drills") == {SERVER}
        query = dict(parse_qsl(url.query))
        assert query["sslmode"] == "verify-full"
        certificate = project.secrets_of(SERVER)["/run/secrets/postgres.crt"]
        assert project.secrets_of(name)[query["sslrootcert"]] == certificate
        password = (bootstrapped.secrets / "postgres_drills_password").read_text().strip()
        assert (url.username, url.password) == ("postgres", password)
    assert loaded(DRILLS).drill_room_mib == 20 << 10
    assert loaded(DRILLS, read("DRILL_ROOM_MIB=40960")).drill_room_mib == 40 << 10
