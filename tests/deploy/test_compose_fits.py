"""compose.prod.yml fits what stands elsewhere: settings, what Prometheus asks for, the proxy, dashboards' sources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from config import Principal, Settings, load_settings
from embedded.secret_checks import reused_secrets, weak_secrets
from tests.deploy.composed import ADDRESS, ROOT, Bootstrapped, Project, read

OBSERVABILITY = ROOT / "observability"
# What serves, works or commands as which roles; whoever is not named has the visitor's login.
ROLES = {
    "web-blue": {Principal.STAFF, Principal.PATIENT, Principal.AUDITOR},
    "web-green": {Principal.STAFF, Principal.PATIENT, Principal.AUDITOR},
    "worker": {Principal.WORKER},
    "worker-backups": {Principal.WORKER, Principal.BACKUP, Principal.AUDITOR},
    "worker-audit": {Principal.WORKER},
    "worker-prompt": {Principal.WORKER},
    "worker-inference": {Principal.WORKER},
    "scheduler": {Principal.WORKER},
    "tools": set(Principal) - {Principal.ANONYMOUS},
    "prepare": set(Principal),
}
# What a process of the image reads beside its settings: deploy/image/entrypoint.
NO_SETTINGS = {"MIGRATE_AT_START"}
# In the network of those who are asked, and not asked themselves.
NOT_ASKED = {"grafana", "loki", "tempo", "alloy", "ops-door", "tools"}


@pytest.fixture(scope="module")
def project() -> Project:
    return read()


@pytest.fixture(scope="module")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Bootstrapped:
    made = Bootstrapped(tmp_path_factory.mktemp("bootstrapped"))
    made.make()
    return made


def of_ours(project: Project) -> list[str]:
    return [name for name, service in project.services.items() if service["image"].startswith("sigilo:")]


def settings_of(
    name: str, project: Project, bootstrapped: Bootstrapped, monkeypatch: pytest.MonkeyPatch, **more: str
) -> Settings:
    """As the process in the container loads them."""
    for setting in Settings.model_fields:
        monkeypatch.delenv(setting.upper(), raising=False)
        monkeypatch.delenv(f"{setting.upper()}_FILE", raising=False)
    for variable, value in (project.environment_of(name) | more).items():
        monkeypatch.setenv(variable, value)
    for path, source in project.secrets_of(name).items():
        variable = f"{path.removeprefix('/run/secrets/').upper()}_FILE"
        monkeypatch.setenv(variable, str(bootstrapped.state / Path(source).relative_to("deploy/state")))
    return load_settings()


def test_whatever_a_process_of_ours_is_told_is_a_setting(project: Project) -> None:
    assert set(of_ours(project)) == ROLES.keys()
    known = {name.upper() for name in Settings.model_fields}
    for name in of_ours(project):
        assert project.environment_of(name).keys() - NO_SETTINGS <= known, name
        targets = {path.removeprefix("/run/secrets/") for path in project.secrets_of(name)}
        assert targets - {"postgres_ca", "postgres_drills_ca"} <= Settings.model_fields.keys(), name


def test_every_process_starts_with_what_bootstrap_made_and_nothing_of_it_is_weak(
    project: Project, bootstrapped: Bootstrapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in of_ours(project):
        settings = settings_of(name, project, bootstrapped, monkeypatch)
        assert settings.is_production
        assert list(weak_secrets(settings)) == list(reused_secrets(settings)) == [], name


def test_a_process_has_no_login_but_those_of_its_roles(
    project: Project, bootstrapped: Bootstrapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, roles in ROLES.items():
        settings = settings_of(name, project, bootstrapped, monkeypatch)
        for principal in Principal:
            url = urlsplit(settings.url_for(principal))
            assert url.hostname == "postgres" and "sslmode=verify-full" in url.query
            if name == "prepare" and principal not in roles:
                assert url.username == "postgres"
                continue
            wanted = principal.role if principal in roles else Principal.ANONYMOUS.role
            assert url.username == wanted, f"{name} comes as {url.username} for {principal}"
        if name != "prepare":
            assert urlsplit(settings.database_url.get_secret_value()).username == Principal.ANONYMOUS.role


def test_mail_leaves_where_somebody_is_told_that_it_can(
    project: Project, bootstrapped: Bootstrapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("web-blue", "scheduler", "worker-prompt", "tools"):
        assert settings_of(name, project, bootstrapped, monkeypatch).can_send_mail, name


def test_optional_settings_are_passed_on(bootstrapped: Bootstrapped, monkeypatch: pytest.MonkeyPatch) -> None:
    project = read("OLLAMA_URL=http://ollama:11434", "CLINIC_NAME=Clínica São João", "AUDIT_KEEP_MONTHS=72")
    settings = settings_of("worker-inference", project, bootstrapped, monkeypatch)
    assert (settings.ollama_url, settings.audit_keep_months) == ("http://ollama:11434", 72)
    assert settings.clinic_name == "Clínica São João"
    assert project.called("ollama", "models") == {"ollama", "ollama-gpu"}
    assert "models" in project.networks_of("worker-inference") and "models" in project.networks_of("web-blue")


def test_who_brings_backups_to_a_bucket_has_its_keys_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = read("BACKUP_URL=s3://sigilo/backups", "S3_ENDPOINT_URL=https://object-store:8333")
    bootstrapped = Bootstrapped(tmp_path)
    assert bootstrapped.run("--public-url", ADDRESS, "--object-store").returncode == 0
    for name in of_ours(project):
        [mounted] = {source for source, target, _ in project.mounts(name) if target == "/run/secrets/sigilo"}
        folder = bootstrapped.state / Path(mounted).relative_to("deploy/state")
        keys = {f"{path.name.upper()}_FILE": str(path) for path in folder.iterdir()}
        settings = settings_of(name, project, bootstrapped, monkeypatch, **keys)
        goes_there = name.startswith("worker") or name == "tools"
        assert (settings.backup_url == "s3://sigilo/backups") == goes_there, name
        assert bool(settings.s3_secret_access_key.get_secret_value()) == bool(keys)
        assert not (keys and name.startswith("web"))
    assert settings_of("web-blue", project, bootstrapped, monkeypatch).backup_url, "it says that they lie elsewhere"


def scraped() -> dict[tuple[str, int], str]:
    """What prometheus.yml asks for by DNS, by name and port; the job that does."""
    found: dict[tuple[str, int], str] = {}
    for job in yaml.safe_load((OBSERVABILITY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]:
        for each in job.get("dns_sd_configs", []):
            found |= {(name, each["port"]): job["job_name"] for name in each["names"]}
        for rule in job.get("relabel_configs", []):
            host, _, port = str(rule.get("replacement", "")).partition(":")
            if port.isdigit():
                found[host, int(port)] = job["job_name"]
    return found


def test_prometheus_reaches_whomever_it_asks(project: Project) -> None:
    for name, port in scraped():
        answering = project.called(name, "metrics")
        assert answering, f"nobody is called {name} where Prometheus is"
        for service in answering:
            environment = project.environment_of(service)
            told = environment.get("WORKER_METRICS_PORT") or environment.get("SCHEDULER_METRICS_PORT")
            assert told is None or int(told) == port, service
    assert project.called("web", "metrics") == {"web-blue", "web-green"}
    path = {target for target, source in project.secrets_of("prometheus").items() if source.endswith("metrics_token")}
    text = (OBSERVABILITY / "prometheus" / "prometheus.yml").read_text()
    assert set(re.findall(r"credentials_file: (\S+)", text)) == path


def test_prometheus_asks_everybody_who_is_where_it_asks(project: Project) -> None:
    asked = {service for name, _ in scraped() for service in project.called(name, "metrics")}
    there = {name for name in project.services if "metrics" in project.networks_of(name)}
    assert there - asked == NOT_ASKED | {"prometheus"}  # itself, at localhost


def test_who_looks_at_postgresql_is_made_before_the_role_gets_its_password(project: Project) -> None:
    folder = "/docker-entrypoint-initdb.d/"
    mounted = [target for source, target, _ in project.mounts("postgres") if source.endswith("/role.sql")]
    copied = re.findall(rf"COPY first-start ({folder}\S+\.sh)", (ROOT / "deploy/postgres/Dockerfile").read_text())
    assert len(mounted) == len(copied) == 1 and mounted[0].startswith(folder)
    assert [*mounted, *copied] == sorted(mounted + copied), "scripts are run by name"
    role = project.environment_of("postgres-exporter")["DATA_SOURCE_USER"]
    for path in ("deploy/postgres/first-start", "observability/postgres-exporter/role.sql"):
        assert f"ROLE {role} " in (ROOT / path).read_text()


def test_who_is_spoken_to_by_name_is_there(project: Project) -> None:
    sources = yaml.safe_load((OBSERVABILITY / "grafana/provisioning/datasources/sigilo.yml").read_text())
    hosts = {urlsplit(each["url"]).hostname: "grafana" for each in sources["datasources"]}
    alloy = (OBSERVABILITY / "alloy" / "config.alloy").read_text()
    hosts |= dict.fromkeys(re.findall(r'"(?:http://)?(loki|tempo):\d+', alloy), "alloy")
    rules = yaml.safe_load((OBSERVABILITY / "loki" / "loki.yml").read_text())
    hosts[urlsplit(rules["ruler"]["alertmanager_url"]).hostname] = "loki"
    for name, environment in ((name, project.environment_of(name)) for name in project.services):
        for variable in ("OTEL_EXPORTER_OTLP_ENDPOINT", "DOCKER_HOST", "REDIS_ADDR"):
            if variable in environment and name not in ("prepare", "tools"):
                hosts[urlsplit(environment[variable]).hostname] = name
    for host, asking in hosts.items():
        assert host is not None
        assert any(project.called(host, network) for network in project.networks_of(asking)), f"{asking} → {host}"


def test_the_proxy_finds_both_colours_and_what_it_is_told(project: Project) -> None:
    text = "".join(path.read_text() for path in (ROOT / "deploy" / "caddy").iterdir() if path.is_file())
    upstreams = set(re.findall(r"\{\$SIGILO_(?:BLUE|GREEN):([\w-]+):8000\}", text))
    assert upstreams == {"web-blue", "web-green"}
    for name in upstreams:
        assert "front" in project.networks_of(name)
    variables = set(re.findall(r"\{\$(\w+)", text))
    assert project.environment_of("caddy").keys() <= variables
    targets = {target: source for source, target, _ in project.mounts("caddy")}
    assert targets[project.environment_of("caddy")["SIGILO_STATE"]] == "./deploy/state/caddy"
    assert targets["/srv/static"] == "static", "which is the Caddyfile's own default"
    for name in upstreams:
        assert ("static", project.environment_of(name)["STATIC_FOLDER"], False) in project.mounts(name)


def test_folders_that_several_processes_share_are_shared(project: Project) -> None:
    """An archive that one writes and another looks for lies in one volume; SIGILO_HOME is each container's own, and so
    is the folder in which its processes count."""
    home = "/var/lib/sigilo"
    for folder, who in (
        ("archives", {"worker-backups", "worker-audit", "tools"}), ("backups", {"worker-backups", "tools"}),
        ("drill", {"worker-backups"}), ("checkpoints", {"worker-backups", "worker-audit", "worker-prompt", "tools"}),
    ):  # fmt: skip
        mounted = {
            name: source for name in of_ours(project)
            for source, target, _ in project.mounts(name) if target == f"{home}/{folder}"
        }  # fmt: skip
        assert mounted.keys() == who and len(set(mounted.values())) == 1, folder
    assert not [name for name in of_ours(project) for _, target, _ in project.mounts(name) if target == home]


def owners(service: dict[str, Any]) -> dict[str, str]:
    [script] = service["command"]
    lines = (line.split() for line in script.splitlines() if line.startswith("chown"))
    return {name: line[1] for line in lines for name in line[2:]}


def test_volumes_are_their_readers_own(project: Project) -> None:
    """A volume below a folder that its image does not have is root's until somebody gives it away."""
    given = owners(project.services["volume-owners"]) | owners(project.services["monitoring-volume-owners"])
    # Those of which the image's folder has the owner.
    made_by_images = {"postgres-data", "postgres-socket", "drills", "redis-data"}
    assert given.keys() | made_by_images == project.model["volumes"].keys()
    for name in project.services:
        user = project.services[name].get("user", "1001:1001").split(":")[0]
        for source, _, read_only in project.mounts(name):
            if source in given and not read_only and user != "0":
                assert given[source].split(":")[0] == user, f"{name}: {source}"
