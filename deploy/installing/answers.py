"""What an operator says, and what their machine is: each checked before anything is written."""

from __future__ import annotations

import getpass
import grp
import os
import sys
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from config_urls import ADDRESS, SmtpServer, parse_smtp_url
from installing.files import InstallError

IMAGE_GROUP = 1001  # the image's own group, for a run as root
DOCKER_SOCKET = Path("/var/run/docker.sock")
# Names that no public authority gives certificates for (RFC 6761, RFC 6762, ICANN's .internal).
INNER_NAMES = (".localhost", ".internal", ".local", ".test", ".lan")


def ask(what: str, example: str, *, hidden: bool = False) -> str:
    """From the terminal; without one, an error that says how else."""
    if not sys.stdin.isatty():
        raise InstallError(f"{what} is not known, and there is nobody to ask: see deploy/bootstrap --help")
    return (getpass.getpass if hidden else input)(f"{what}, such as {example}: ").strip()


def checked_address(text: str) -> str:
    """``https://name``. The proxy serves the whole name at the usual port."""
    parts = urlsplit(text.strip())
    try:
        is_whole = parts.port in (None, 443) and not parts.path.strip("/") and not parts.query and not parts.username
    except ValueError:  # no number
        is_whole = False
    if parts.scheme != "https" or not parts.hostname or not is_whole or "'" in text:
        raise InstallError("PUBLIC_URL is https:// and a name, without port or path: https://sigilo.clinica.com.br")
    return f"https://{parts.hostname}"


def checked_mail(address: str) -> str:
    if not ADDRESS.fullmatch(address):
        raise InstallError("--alerts-to is an address of mail, such as plantao@clinica.com.br")
    return address


def checked_watchdog(url: str) -> str:
    if url and (urlsplit(url).scheme != "https" or not urlsplit(url).hostname):
        raise InstallError("--watchdog-url begins with https://")
    return url


def checked_recipient(text: str) -> str:
    if not (text.startswith("age1") and text.isalnum()):
        raise InstallError("--recipient begins with age1: `sigilo backup keygen` or `age-keygen` says it")
    return text


def checked_smtp(url: str) -> SmtpServer:
    try:
        return parse_smtp_url(url)
    except ValueError as error:
        raise InstallError(str(error)) from None


def is_inner(host: str) -> bool:
    """Whether no public authority gives a certificate for it."""
    try:
        return bool(ip_address(host))
    except ValueError:
        return "." not in host or host.endswith(INNER_NAMES)


def own_group() -> int:
    """Whose members read the secrets: anybody's own as an ordinary user, the image's as root."""
    return IMAGE_GROUP if os.geteuid() == 0 else os.getegid()


def docker_group() -> str:
    """The number of the group that may speak to the engine; empty without one."""
    try:
        return str(DOCKER_SOCKET.stat().st_gid)
    except OSError:
        pass
    try:
        return str(grp.getgrnam("docker").gr_gid)
    except KeyError:
        return ""
