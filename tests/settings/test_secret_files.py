"""Secrets from files: Docker's, Kubernetes', and those that NAME_FILE names. What is wrong with one is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import config_sources
from config import ConfigurationError, Principal, Settings, load_settings
from tests.conftest import test_key as key_for

KEY = key_for("fields of a file")


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A secrets directory, in place of /run/secrets."""
    folder = tmp_path / "run-secrets"
    folder.mkdir()
    monkeypatch.setattr(config_sources, "SECRETS_DIRECTORIES", (str(folder),))
    return folder


def loaded(settings: Settings) -> str:
    """FIELD_KEY as a process would read it, everything else given."""
    others = {name: value for name, value in settings.model_dump().items() if name != "field_key"}
    return load_settings(**others).field_key.get_secret_value()


def refused(settings: Settings) -> str:
    with pytest.raises(ConfigurationError) as raised:
        loaded(settings)
    assert KEY not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("name", ["field_key", "FIELD_KEY"])
@pytest.mark.parametrize("text", [KEY, f"{KEY}\n", f"  {KEY}\r\n"])
def test_docker_secrets_are_read_without_the_line_break(
    mounted: Path, settings: Settings, name: str, text: str
) -> None:
    (mounted / name).write_text(text, newline="")
    assert loaded(settings) == KEY


def test_kubernetes_projects_volumes_through_links_and_swaps_them(mounted: Path, settings: Settings) -> None:
    """``name`` → ``..data/name`` → ``..2026_11_26…/name``: the kubelet makes a new folder and moves ``..data``."""
    newer = key_for("fields of the next volume")
    for folder, key in (("..2026_11_26_02_00_00.1", KEY), ("..2026_11_26_03_00_00.2", newer)):
        (mounted / folder).mkdir()
        (mounted / folder / "field_key").write_text(key)
    (mounted / "..data").symlink_to("..2026_11_26_02_00_00.1")
    (mounted / "field_key").symlink_to("..data/field_key")
    assert loaded(settings) == KEY
    (mounted / "..data_tmp").symlink_to("..2026_11_26_03_00_00.2")
    (mounted / "..data_tmp").rename(mounted / "..data")
    assert loaded(settings) == newer


def test_a_variable_goes_before_a_named_file_and_that_before_a_mounted_one(
    mounted: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named, given = key_for("named"), key_for("given")
    (mounted / "field_key").write_text(KEY)
    (tmp_path / "named").write_text(named)
    monkeypatch.setenv("FIELD_KEY_FILE", str(tmp_path / "named"))
    assert loaded(settings) == named
    monkeypatch.setenv("FIELD_KEY", given)
    assert loaded(settings) == given


def test_an_empty_file_is_named(mounted: Path, settings: Settings) -> None:
    (mounted / "field_key").write_text("\n")
    assert refused(settings) == f"{mounted}/field_key is empty: write FIELD_KEY into it, or take the file away"


def test_a_file_that_is_named_and_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FIELD_KEY_FILE", str(tmp_path / "none"))
    assert refused(settings).startswith(f"FIELD_KEY_FILE names {tmp_path}/none, which does not exist: create it")


def test_a_link_into_nothing_counts_as_no_file_where_none_is_named(mounted: Path, settings: Settings) -> None:
    (mounted / "field_key").symlink_to("..data/field_key")
    assert "FIELD_KEY is missing" in refused(settings)


def test_a_folder_in_its_place_and_bytes_that_are_no_text(mounted: Path, settings: Settings) -> None:
    (mounted / "field_key").mkdir()
    assert f"{mounted}/field_key cannot be read (Is a directory), so FIELD_KEY is not known" in refused(settings)
    (mounted / "field_key").rmdir()
    (mounted / "field_key").write_bytes(b"\xff\xfe\x00")
    assert "write FIELD_KEY into it in UTF-8" in refused(settings)


def test_a_file_of_another_account_says_which_one_reads(
    mounted: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mounted / "field_key").write_text(KEY)
    (mounted / "field_key").chmod(0)
    if os.geteuid() == 0:  # whom no mode keeps out

        def read_text(path: Path, *arguments: object, **options: object) -> str:
            if path.name == "field_key":
                raise PermissionError(13, "Permission denied", str(path))
            raise FileNotFoundError(path)

        monkeypatch.setattr(Path, "read_text", read_text)
    said = refused(settings)
    assert f"{mounted}/field_key cannot be read (Permission denied)" in said
    assert f"make it a file that account {os.geteuid()} reads" in said


def test_a_running_process_reads_a_changed_password(mounted: Path, settings: Settings) -> None:
    file = mounted / "database_url"
    file.write_text("postgresql://sigilo:first@/db\n")
    given = {name: value for name, value in settings.model_dump().items() if not name.startswith("database_url")}
    running = load_settings(**given)
    file.write_text("postgresql://sigilo:second@/db\n")
    assert ":first@" in running.url_for(Principal.STAFF)
    assert ":second@" in running.url_anew(Principal.STAFF)
    assert "role%3Dsigilo_staff" in running.url_anew(Principal.STAFF)
    file.write_text("")
    assert running.url_anew(Principal.STAFF) == running.url_for(Principal.STAFF), "as it was while nothing is there"
