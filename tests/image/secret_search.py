"""What must be in no image, whoever built it: keys, passwords, and files that hold them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

# A line of base64 has to follow: libraries and documents name the first line of a key without one.
PRIVATE_KEY = rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:\\n|\s)+[A-Za-z0-9+/=]{40}"
EVERYWHERE = {
    "a private key": re.compile(PRIVATE_KEY),
    "an age identity": re.compile(rb"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}"),
}
# Of our own files and the system's settings; libraries' are full of examples.
OURS = {
    "an access key of AWS": re.compile(rb"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])"),
    "a key of Sigilo's": re.compile(
        rb"(?:SECRET_KEY|FIELD_KEY|AUDIT_SIGNING_KEY|S3_SECRET_ACCESS_KEY|CIPHER_PASS|cipher-pass)"
        rb"(?:_PREVIOUS)?[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9+/_-]{32,}"
    ),
    "a password in an address": re.compile(
        rb"(?:postgresql|rediss?|smtps?)://[\w.-]*:(?!password@|of-the-tests@|\{|\.\.\.|\xe2)[^@\s/{}<>\"'`]{8,}@"
    ),
}
NAMES = re.compile(r"\.env(\..+)?|\.pgpass|\.netrc|id_(rsa|dsa|ecdsa|ed25519)|.+\.(key|p12|pfx|kdbx)|credentials")
OURS_AT = ("opt/sigilo/app", "etc", "var/lib/sigilo", "root", "home")
LARGEST = 64 << 20


def secrets_in(root: Path) -> list[str]:
    """``path: what`` for each that is found below ``root``, which is an image's top."""
    published = _published(root)
    return [
        f"{path.relative_to(root)}: {what}"
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
        for what in _found(
            path, is_ours=any(path.is_relative_to(root / each) for each in OURS_AT),
            published=published.get(str(path.relative_to(root)), ""),
        )
    ]  # fmt: skip


def _published(root: Path) -> dict[str, str]:
    """Path → MD5 of what Debian's packages brought, as dpkg keeps it: libraries try themselves with keys that all the
    world knows (GnuTLS)."""
    lists = (root / "var" / "lib" / "dpkg" / "info").glob("*.md5sums")
    lines = (line.partition("  ") for each in lists for line in each.read_text().splitlines())
    return {path: digest for digest, _, path in lines}


def _found(path: Path, *, is_ours: bool, published: str = "") -> Iterator[str]:
    if is_ours and NAMES.fullmatch(path.name):
        yield "a file for secrets"
    if path.stat().st_size > LARGEST:
        return
    data = path.read_bytes()
    if published and hashlib.md5(data, usedforsecurity=False).hexdigest() == published:
        return
    for what, pattern in (EVERYWHERE | (OURS if is_ours else {})).items():
        if pattern.search(data):
            yield what
