"""Keys and certificates, made by the program ``openssl``."""

from __future__ import annotations

import subprocess
from pathlib import Path

from installing.files import InstallError

CERTIFICATE_DAYS = 3650
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def private_key() -> str:
    return _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256").decode().strip()


def certificate(key: Path, name: str) -> str:
    """Of the server ``name``, signed by itself: whoever connects knows this one and trusts no other."""
    return _openssl(
        "req", "-x509", "-key", str(key), "-sha256", "-days", str(CERTIFICATE_DAYS), "-subj", f"/CN={name}",
        "-addext", f"subjectAltName=DNS:{name}", "-addext", "basicConstraints=critical,CA:FALSE",
        "-addext", "extendedKeyUsage=serverAuth",
    ).decode().strip()  # fmt: skip


def holds(path: Path, days: int) -> bool:
    """Whether the certificate is good for so long."""
    command = ["openssl", "x509", "-noout", "-in", str(path), "-checkend", str(days * 86400)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def age_identity() -> tuple[str, str]:
    """A key that opens backups, and whom they are encrypted to: as ``age-keygen`` has them (age-encryption.org/v1)."""
    private = _openssl("genpkey", "-algorithm", "X25519", "-outform", "DER")
    public = _openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", given=private)
    return bech32("age-secret-key-", private[-32:]).upper(), bech32("age", public[-32:])


def bech32(prefix: str, data: bytes) -> str:
    """BIP 173, without its limit of length, as age has it."""
    number, bits = int.from_bytes(data, "big"), len(data) * 8
    padded = number << (-bits % 5)
    values = [padded >> shift & 31 for shift in range((bits + 4) // 5 * 5 - 5, -1, -5)]
    expanded = [ord(sign) >> 5 for sign in prefix] + [0] + [ord(sign) & 31 for sign in prefix]
    sum_ = _polymod([*expanded, *values, 0, 0, 0, 0, 0, 0]) ^ 1
    values += [sum_ >> shift & 31 for shift in range(25, -1, -5)]
    return f"{prefix}1{''.join(BECH32[value] for value in values)}"


def _polymod(values: list[int]) -> int:
    found = 1
    for value in values:
        top = found >> 25
        found = (found & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            found ^= generator if top >> bit & 1 else 0
    return found


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    try:
        run = subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=True)
    except FileNotFoundError:
        raise InstallError("openssl is missing: apt-get install --yes openssl") from None
    except subprocess.CalledProcessError as error:
        raise InstallError(f"openssl {arguments[0]} failed: {error.stderr.decode().strip()[-200:]}") from None
    return run.stdout
