"""The search for secrets in an image finds each that is planted, and nothing where there is none."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pyrage
import pytest

from tests.factories.certificate import make_certificate
from tests.image.secret_search import secrets_in

ROOT = Path(__file__).resolve().parents[2]
KEY = "q" * 43 + "="


PLANTED = [
    ("usr/lib/x.pem", make_certificate()[0], "a private key"),
    ("usr/share/key", str(pyrage.x25519.Identity.generate()), "an age identity"),
    ("opt/sigilo/app/x.py", "k = 'AKIA" + "Q" * 16 + "'", "an access key of AWS"),
    ("opt/sigilo/app/x.sh", f"export FIELD_KEY={KEY}", "a key of Sigilo's"),
    ("etc/x.conf", f"repo1-cipher-pass={KEY}", "a key of Sigilo's"),
    ("etc/x", "postgresql://sigilo:hunter2hunter2@db/sigilo", "a password in an address"),
    ("opt/sigilo/app/.env", "", "a file for secrets"),
    ("root/.pgpass", "", "a file for secrets"),
    ("var/lib/sigilo/drill/age1.key", "", "a file for secrets"),
]


@pytest.mark.parametrize(("place", "text", "what"), PLANTED, ids=[place for place, _, _ in PLANTED])
def test_what_is_planted_is_found(tmp_path: Path, place: str, text: str, what: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert secrets_in(tmp_path) == [f"{place}: {what}"]


def test_what_a_package_brought_is_no_secret_and_what_was_changed_in_it_may_be(tmp_path: Path) -> None:
    """A library that tries itself with a key; dpkg knows the file's sum."""
    private, _ = make_certificate()
    library, sums = tmp_path / "usr/lib/libx.so.1", tmp_path / "var/lib/dpkg/info/libx1:amd64.md5sums"
    for path in (library, sums):
        path.parent.mkdir(parents=True)
    library.write_text(private)
    digest = hashlib.md5(library.read_bytes(), usedforsecurity=False).hexdigest()
    sums.write_text(f"{digest}  usr/lib/libx.so.1\n")
    assert secrets_in(tmp_path) == []
    library.write_text(make_certificate()[0])
    assert secrets_in(tmp_path) == ["usr/lib/libx.so.1: a private key"]


def test_what_our_image_is_made_of_has_none(tmp_path: Path) -> None:
    """Folders that its Dockerfile copies, as they are here; `make image` looks through the image itself."""
    (tmp_path / "opt" / "sigilo").mkdir(parents=True)
    app = tmp_path / "opt" / "sigilo" / "app"
    app.mkdir()
    for name in ("backups", "deploy", "embedded", "integrations", "migrations", "models", "observability", "services",
                 "tasks", "templates", "web"):  # fmt: skip
        for path in (ROOT / name).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                copy = app / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
    assert secrets_in(tmp_path) == []
